"""One rung of a trial: training from one epoch to a later one, as a pure function."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split
from pipeline.params import TrainingParams

Epoch = dict[str, float]


@dataclass(frozen=True)
class Data:
    """What every job trains on and is judged by."""

    dataset: Dataset
    train: Split
    val: Split


@dataclass(frozen=True)
class Job:
    """Train a network up to and including epoch `until`, from `state` on (None: from the start)."""

    architecture: Architecture
    training: TrainingParams
    seed: int
    until: int
    state: bytes | None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        history: metrics of each epoch from the first on, earlier rungs included; empty after a failure.
        state: where the next rung goes on; empty after a failure.
        failure: why there is no result; None: there is one.
        detail: a sentence about the failure.
    """

    history: tuple[Epoch, ...] = ()
    state: bytes = b""
    failure: Literal["diverged", "out_of_memory"] | None = None
    detail: str = ""


Work = Callable[[Job, Data], Outcome]


def train_rung(job: Job, data: Data) -> Outcome:
    """Do a job. What is neither divergence nor a lack of memory is a bug, and is raised."""
    from pipeline.cnn.runtime import start_tensorflow

    start_tensorflow()
    from tensorflow.errors import ResourceExhaustedError

    from pipeline.cnn.fit import Diverged, Fit, fit
    from pipeline.cnn.state import StateError

    def train(state: bytes | None) -> Fit:
        return fit(
            job.architecture,
            job.training,
            data.dataset,
            data.train,
            data.val,
            seed=job.seed,
            state=state,
            until=job.until,
        )

    try:
        try:
            fitted = train(job.state)
        except StateError:  # a damaged file costs the epochs before, not the result
            fitted = train(None)
    except Diverged as error:
        return Outcome(failure="diverged", detail=str(error))
    except (MemoryError, ResourceExhaustedError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        return Outcome(failure="out_of_memory", detail=first_line or "the memory did not suffice")
    return Outcome(history=tuple(asdict(epoch) for epoch in fitted.history), state=fitted.state)
