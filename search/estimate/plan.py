"""Estimate the size of the search space and the cost of a study before it is run."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast
from zlib import crc32

import optuna

from pipeline.backend.runtime import load_keras
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.cnn.training_cost import PASSES
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.kind import KINDS, KindWords
from pipeline.data.training_data import TrainingData
from pipeline.description.notation import in_words
from pipeline.errors import UserError, plural
from pipeline.machine.training_speed import measure_training_speed, study_speedup
from pipeline.params import SearchParams, TrainingParams
from pipeline.params.search import OBJECTIVES, QUALITIES
from pipeline.params_file import read_yaml
from pipeline.sections import Params
from pipeline.terminal.console import say
from pipeline.terminal.progress import duration, progress
from pipeline.tracking.dvc_lock import read_stages, read_text
from search.engine.inline import InlineEngine
from search.estimate.precheck import draw_sample, sample_in_words, size_in_words
from search.paths import Paths
from search.space.draw import check_space
from search.study.checkpoints import RungCheckpoints
from search.study.config import StudyConfig, study_config
from search.study.driver import Driver
from search.study.finalists import FinalTrainings
from search.study.job import Epoch, Job, RungResult
from search.study.prunable import PrunableStudy
from search.study.pruner import make_pruner
from search.study.rungs import nominal_seconds
from search.study.sampler import SeededSampler

DRAWS = 1_000
# A longer study is extrapolated from this many trials.
MAX_REHEARSED = 200
# Start of the process and report, and decisions and tracking for each trial, as measured on two cores.
SECONDS_AROUND, SECONDS_PER_TRIAL = 8.0, 0.1


class RequestedRung(NamedTuple):
    """A rung in a simulated study.

    Attributes:
        macs: Multiply-accumulates per image.
        epochs: Number of epochs.
        images: Number of images in all its epochs.
        nominal_seconds: Its nominal time.
        times: Number of such rungs: more than 1 if a longer study is extrapolated.
    """

    macs: int
    epochs: int
    images: float
    nominal_seconds: float
    times: float = 1.0


class Pace(NamedTuple):
    """Training time on this machine.

    Attributes:
        rung: Seconds per rung, regardless of its images.
        image: Seconds per training image, regardless of the network.
        mac: Additional seconds per training image and multiply-accumulate of the network.
    """

    rung: float
    image: float
    mac: float


def run(params: Params, paths: Paths, timing: bool) -> None:
    """Print the size of the search space and the estimated cost of the study.

    Args:
        params: The sections `model`, `training` and `search`, and the seed.
        paths: Input and output paths of the stage.
        timing: Whether to train two networks on random images, to estimate the training time on this machine.

    Raises:
        UserError: The data are not prepared, or the study could not start.
    """
    model, training, settings, seed = params.model, params.training, params.search, params.seed
    dataset = read_dataset(paths.prepared / "dataset.json")
    words = KINDS[dataset.kind]
    shape, classes = dataset.input_shape, len(dataset.classes)
    if model.backbone is not None:  # its geometry is read off Keras
        load_keras("plan", training.threads)
    check_space(settings.space, model, training)
    config = study_config(params, dataset)
    say(f"search space: {size_in_words(settings.space, model)}")
    sample = draw_sample(settings.space, model, settings.budget, shape, classes, DRAWS, dataset.kind)
    say(sample_in_words(sample))
    asked = rehearse(config)
    say(asked_in_words(asked, settings, words))
    if not timing:
        return
    # Fit the line at the network with the average cost, so that errors for individual networks cancel out in the total.
    images = sum(each.times * each.images for each in asked)
    typical = sum(each.times * each.images * each.macs for each in asked) / max(1.0, images)
    nearest, _ = min(sample.feasible, key=lambda each: abs(each[1]["macs"] - typical))
    pace = measure((sample.feasible[0][0], nearest), training, dataset, seed)
    workers = min(settings.workers, settings.concurrency)
    seconds = sum(each.times * (pace.rung + each.images * (pace.image + pace.mac * each.macs)) for each in asked)
    trained = seconds / study_speedup(settings)
    whole = SECONDS_AROUND + SECONDS_PER_TRIAL * settings.trials + trained
    say(
        f"training speed of this machine, measured with two networks on random {words.many}: {pace.rung:.2g} s per "
        f"rung, {pace.image * 1e6:,.0f} µs per {words.one}, plus {pace.mac * 1e12:,.0f} µs per {words.one} "
        "and million MACs\n"
        f"estimated time of the study with {workers} {plural(workers, 'worker')}: about {duration(whole)}, of which "
        f"{duration(trained)} of training"
    )
    if settings.timeout_hours is not None:
        say(f"search.timeout_hours: no candidate starts after {duration(3600 * settings.timeout_hours)}")


def require_prepared(params: Path, lock: Path = Path("dvc.lock")) -> None:
    """Check, if dvc.lock allows it, that the prepared data match the section `data` of params.yaml.

    Args:
        params: Path of params.yaml.
        lock: Path of dvc.lock. Nothing is checked if it is missing or does not contain the stage `prepare`.

    Raises:
        UserError: dvc.lock records other values for the stage `prepare`.
    """
    try:
        prepared = read_stages(read_text(lock))["prepare"]["params"]["params.yaml"]["data"]
    except (KeyError, TypeError):
        return
    if prepared != read_yaml(params).get("data"):
        raise UserError(
            f"{params}: data: must match the values that data/prepared was created from, but has changed since; run "
            "`fovea run prepare` first"
        )


def asked_in_words(asked: list[RequestedRung], settings: SearchParams, words: KindWords = KINDS["image"]) -> str:
    """Describe how much a study would train. `words` is what readers call the samples."""
    rungs, epochs, images, nominal, macs = (
        sum(each.times * value for each, value in zip(asked, column, strict=True))
        for column in (
            [1 for _ in asked],
            [each.epochs for each in asked],
            [each.images for each in asked],
            [each.nominal_seconds for each in asked],
            [PASSES * each.images * each.macs for each in asked],
        )
    )
    return (
        f"a study of {settings.trials} trials, simulated with generated learning curves"
        f"{f' and extrapolated from {MAX_REHEARSED} trials' if settings.trials > MAX_REHEARSED else ''}: "
        f"about {rungs:,.0f} rungs, {epochs:,.0f} epochs, {images:,.0f} {words.many}, "
        f"{macs:.2g} MACs (forward and backward)\n"
        f"estimated nominal time, which orders the trials in the same way on any machine: about {nominal:,.0f} s"
    )


def rehearse(config: StudyConfig) -> list[RequestedRung]:
    """Simulate the study (or the first trials of a long one) and its finalists, and return the rungs it trains."""
    times = max(1.0, config.settings.trials / MAX_REHEARSED)
    update = {"trials": min(config.settings.trials, MAX_REHEARSED), "timeout_hours": None}
    settings = config.settings.model_copy(update=update)
    config = replace(config, settings=settings)
    asked: list[RequestedRung] = []

    def pretend(job: Job, _: TrainingData) -> RungResult:
        done, macs = int(job.state or 0), compute_geometry(job.architecture).macs
        first = config.rungs[done - 1].epoch if done else 0
        last = sum(rung.epoch <= job.until for rung in config.rungs)  # of a finalist, all rungs at once
        nominal = nominal_seconds(config.rungs, config.images, macs, done, last)
        asked.append(
            RequestedRung(macs, job.until - first, config.images * sum(job.shares[first : job.until]), nominal, times)
        )
        return RungResult(_curve(job), str(last).encode(), latency_ms=0.0 if job.measure_latency else None)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    create = partial(optuna.create_study, pruner=make_pruner(settings))
    with tempfile.TemporaryDirectory() as folder:
        studies = PrunableStudy(create, "rehearsal", SeededSampler(config), settings.objectives)
        engine = InlineEngine(cast(TrainingData, None), work=pretend)
        driver = Driver(
            studies=studies,
            config=config,
            engine=engine,
            checkpoints=RungCheckpoints(Path(folder)),
            cached_results={},
        )
        for _ in progress(
            (result for result in driver.run() if result.counts), "plan: simulated trials", settings.trials
        ):
            pass
        times = 1.0  # the number of finalists does not depend on the number of trials
        for _ in FinalTrainings(config, studies.study, engine, {}).run(driver.ended()):
            pass
    return asked


def _curve(job: Job) -> tuple[Epoch, ...]:
    """Return a simulated learning curve that depends only on the candidate."""
    ceiling = crc32(f"{job.architecture.digest}{job.training.model_dump_json()}".encode()) % 1000 / 1000
    accuracies = [ceiling * (1 - 0.5**epoch) for epoch in range(1, job.until + 1)]
    return tuple(
        {name: each if OBJECTIVES[name] == "maximize" else 2.0 - each for name in QUALITIES} for each in accuracies
    )


def measure(networks: Sequence[Candidate], training: TrainingParams, dataset: Dataset, seed: int) -> Pace:
    """Train a cheap and a more expensive network on random images, and fit a line through both times."""
    from pipeline.backend.runtime import start_backend

    start_backend()
    every = (networks[0], *networks)  # the first training run of a process is slower and not used
    timed = [
        measure_training_speed(network.architecture, network.overlay(training), dataset, seed)
        for network in progress(
            every, f"plan: training runs on random {KINDS[dataset.kind].many}", len(every), naming=in_words
        )
    ]
    (cheap_rung, cheap), (costly_rung, costly) = timed[1:]
    macs, more = (compute_geometry(network.architecture).macs for network in networks)
    slope = max(0.0, costly - cheap) / (more - macs) if more > macs else 0.0
    return Pace((cheap_rung + costly_rung) / 2, max(0.0, cheap - slope * macs), slope)
