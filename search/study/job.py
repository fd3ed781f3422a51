"""One rung of a trial as a pure function, and the interface of the engines that run it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal, Protocol

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.errors import message_of
from pipeline.params import TrainingParams
from search.study.folds import fold

Epoch = dict[str, float]
Failure = Literal["diverged", "out_of_memory", "timed_out", "worker_lost"]


@dataclass(frozen=True)
class Job:
    """The training of a network from a state up to and including epoch `until`.

    Attributes:
        architecture: The network.
        training: The training settings of the trial.
        seed: The seed of the trial.
        shares: Share of the training images that each epoch uses.
        until: The last epoch, from 1.
        state: The training state to continue from. None starts at the first epoch.
        measure_latency: Whether to measure the time to classify one image before training.
        max_latency_ms: Networks that take longer are not trained. None means no limit.
        rungs: Number of rungs that the job trains. The time limit applies to each of them.
        fold: Which fold of the images is used, see `search.study.folds`. 0 is the original split.
    """

    architecture: Architecture
    training: TrainingParams
    seed: int
    shares: tuple[float, ...]
    until: int
    state: bytes | None
    measure_latency: bool = False
    max_latency_ms: float | None = None
    rungs: int = 1
    fold: int = 0


@dataclass(frozen=True)
class RungResult:
    """The result of a job.

    Attributes:
        history: Metrics of each epoch since the first one, including earlier rungs. Empty after a failure.
        state: The training state from which the next rung continues. Empty after a failure.
        latency_ms: Median time to classify one image, in milliseconds. None if not measured.
        compute_dtype: The dtype of the training on this device, `float32` or `bfloat16`. Empty after a failure.
        failure: The class of the failure. None if the job succeeded or the network is too slow.
        detail: A sentence about the failure.
        seconds: Wall time of the job.
    """

    history: tuple[Epoch, ...] = ()
    state: bytes = b""
    latency_ms: float | None = None
    compute_dtype: str = ""
    failure: Failure | None = None
    detail: str = ""
    seconds: float = 0.0


RungFunction = Callable[[Job, TrainingData], RungResult]


class Engine(Protocol):
    """Runs the jobs of several trials, one job per trial at a time.

    An engine has no access to the study or its storage. It may repeat a job or run it anywhere, because a job is a pure
    function.
    """

    def submit(self, number: int, job: Job) -> None:
        """Accept the next job of a trial."""
        ...

    def wait(self, number: int | None) -> tuple[int, RungResult]:
        """Return the number and the result of a trial's job, or of the first job that ends if `number` is None."""
        ...

    def close(self) -> None:
        """Discard all jobs, and release the workers."""
        ...


def train_rung(job: Job, data: TrainingData) -> RungResult:
    """Run a job. Any error except divergence and lack of memory is a bug and is raised."""
    began = time.monotonic()
    outcome = _train(job, data)
    return replace(outcome, seconds=time.monotonic() - began)


def _train(job: Job, data: TrainingData) -> RungResult:
    from pipeline.backend.precision import compute_dtype
    from pipeline.backend.runtime import start_backend
    from pipeline.terminal.causes import is_out_of_memory

    start_backend()
    from pipeline.trainers.cache import TRAINER_CACHE
    from pipeline.training.fit import Diverged, Fit, fit
    from pipeline.training.state import StateError

    def train(state: bytes | None) -> Fit:
        return fit(
            job.architecture,
            job.training,
            fold(data, job.fold),
            seed=job.seed,
            state=state,
            until=job.until,
            shares=job.shares,
        )

    latency_ms = None
    try:
        if job.measure_latency:
            from pipeline.training.latency import measure_latency

            latency_ms = measure_latency(job.architecture, data.dataset, job.training.threads)
            if job.max_latency_ms is not None and latency_ms > job.max_latency_ms:
                return RungResult(latency_ms=latency_ms)
        try:
            fitted = train(job.state)
        except StateError:  # after damage to a file, earlier epochs are trained again; the result is the same
            fitted = train(None)
    except Diverged as error:
        return RungResult(latency_ms=latency_ms, failure="diverged", detail=str(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        TRAINER_CACHE.clear()  # cached trainers hold memory that the next candidate may need
        detail = message_of(error) if str(error).strip() else "the process ran out of memory"
        return RungResult(latency_ms=latency_ms, failure="out_of_memory", detail=detail)
    return RungResult(
        history=tuple(asdict(epoch) for epoch in fitted.history),
        state=fitted.state,
        latency_ms=latency_ms,
        compute_dtype=compute_dtype(job.training.precision, compute_geometry(job.architecture)),
    )
