"""A study with generated learning curves, for tests of the driver without training."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import optuna

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.data.training_data import TrainingData
from pipeline.params import SearchParams
from pipeline.sections import Params
from pipeline.sections.load import load_params
from search.analysis.trials_csv import trials_csv
from search.engine.inline import InlineEngine
from search.space.nearest_params import nearest_to_baseline
from search.storage.database import cached_results, open_storage, open_study, set_aside
from search.study.checkpoints import RungCheckpoints
from search.study.config import EnqueuedTrial, StudyConfig
from search.study.driver import Driver
from search.study.job import Engine, Job, RungResult
from search.study.prunable import PrunableStudy
from search.study.pruner import make_pruner
from search.study.sampler import SeededSampler
from tests.search.work import learn

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
INPUT_SHAPE, CLASSES = (8, 8, 1), 10
SMALL_SPACE = {
    "filters": {"choices": (4, 8, 16)},
    "kernel_size": {"choices": (3, 5)},
    "learning_rate": {"low": 0.001, "high": 0.1, "log": True},
}


def recording(
    jobs: list[Job], work: Callable[[Job, TrainingData], RungResult] = learn
) -> Callable[[Job, TrainingData], RungResult]:
    """Work that also appends its jobs to a list."""

    def record(job: Job, data: TrainingData) -> RungResult:
        jobs.append(job)
        return work(job, data)

    return record


class StudyHarness:
    """The parts of a study in a folder, assembled again for each process that the test simulates."""

    def __init__(self, folder: Path, work: Callable[[Job, TrainingData], RungResult] = learn, **settings: Any) -> None:
        self.folder = folder
        self.work = work
        self.address = f"sqlite:///{folder}/optuna.db"
        self.params: Params = load_params(PARAMS)
        self.settings: SearchParams = SearchParams.model_validate(
            self.params.search.model_dump()
            | {
                "engine": "inline",
                "workers": 1,
                "trials": 5,
                "epochs": 9,
                "min_steps": 0,
                "space": SMALL_SPACE,
                "startup_trials": 2,
            }
            | {"finalists": {"count": 0, "seeds": 1, "cross_validation": False}}
            | settings
        )
        self.checkpoints = RungCheckpoints(folder / "states")
        self.study: optuna.Study | None = None
        self.engine: Engine | None = None
        self.enqueued: tuple[Candidate, ...] = ()
        self.waits: list[str] = []
        self.val_images = 200

    @property
    def config(self) -> StudyConfig:
        """The constants of the study, with the current settings."""
        settings, params = self.settings, self.params
        baseline = Candidate(architecture=Architecture.from_model(params.model, INPUT_SHAPE, CLASSES), training={})
        nearest = nearest_to_baseline(settings.space, params.model, params.training)
        return StudyConfig(
            base="study",
            name=f"study-{settings.trials}",
            settings=settings,
            training=params.training.model_copy(update={"epochs": settings.epochs, "patience": None}),
            model=params.model,
            first_trials=tuple(EnqueuedTrial(each, nearest, "model") for each in (baseline, *self.enqueued)),
            input_shape=INPUT_SHAPE,
            classes=CLASSES,
            images=1000,
            val_images=self.val_images,
            seed=params.seed,
        )

    def driver(self, retry_failed: bool = False) -> Driver:
        """A driver as a new process would create it."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        config, settings = self.config, self.settings
        storage = open_storage(self.address)
        if retry_failed:
            set_aside(config.name, storage)
        create = partial(open_study, storage, make_pruner(settings))
        pair = PrunableStudy(create, config.name, SeededSampler(config), settings.objectives)
        self.study = pair.study
        return Driver(
            config=config,
            studies=pair,
            engine=self.engine or InlineEngine(cast(TrainingData, None), work=self.work),
            checkpoints=self.checkpoints,
            cached_results=cached_results(self.study, config.base),
            on_wait=self.waits.append,
        )

    def run(self, retry_failed: bool = False) -> str:
        """Run the study to its end; return its trials.csv."""
        driver = self.driver(retry_failed)
        for _ in driver.run():
            pass
        return self.table(driver)

    def table(self, driver: Driver) -> str:
        return trials_csv(driver.ended(), self.config)
