"""Overhead of the driver per trial in a study with many finished trials, with and without MLflow.

Without MLflow: ask, propose, check, report, prune, tell. With MLflow, each finished trial is also published as a child
run, as in the stage `search`, into a database of its own.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import cast
from zlib import crc32

import numpy as np
import optuna
from optuna.trial import TrialState, create_trial
from results import publish
from table import spread

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.data.dataset import Dataset
from pipeline.data.training_data import TrainingData
from pipeline.sections.load import load_params
from pipeline.tracking.live import LiveRun, track
from search.engine.inline import InlineEngine
from search.report.runs import study_record, trial_record
from search.space.draw import propose
from search.space.feasibility import check_feasibility
from search.space.nearest_params import nearest_to_baseline
from search.storage.database import open_storage, open_study
from search.study.checkpoints import RungCheckpoints
from search.study.config import EnqueuedTrial, StudyConfig
from search.study.driver import Driver
from search.study.job import Job, RungResult
from search.study.prunable import PrunableStudy
from search.study.pruner import make_pruner
from search.study.results import COST, PASSED, PROPOSAL, STARTED, TRAINED
from search.study.sampler import SeededSampler

SHAPE, CLASSES = (28, 28, 1), 10


QUALITY = {"val_macro_f1": 0.5, "val_balanced_accuracy": 0.5}


def work(job: Job, data: TrainingData) -> RungResult:
    """Return a simulated learning curve without training."""
    ceiling = crc32(f"{job.architecture.digest}{job.seed}".encode()) % 1000 / 1000
    figures = [{"epoch": e, "val_accuracy": ceiling * (1 - 0.5**e), "val_loss": 1.0, **QUALITY}
               for e in range(1, job.until + 1)]  # fmt: skip
    return RungResult(tuple(figures), b"state")


def main() -> None:
    """Print and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", type=int, nargs="*", default=[0, 1000, 10_000])
    parser.add_argument("--trials", type=int, default=20, help="number of timed trials per study")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for finished in arguments.finished:
        cells = []
        for tracked in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                taken = timed(Path(folder), finished, arguments.trials, tracked)
            cells.append(spread([1000 * each for each in taken], 1))
        rows.append([f"{finished:,}", *cells])
    publish("driver", ["finished trials", "ms per trial", "ms per trial, with MLflow"], rows)


def timed(folder: Path, finished: int, trials: int, tracked: bool) -> list[float]:
    """Return the seconds of each trial in a study that already has `finished` trials."""
    params = load_params(Path("params.yaml"))
    budget = params.search.budget.model_copy(update={"max_macs": None, "max_params": None})
    settings = params.search.model_copy(update={"trials": finished + trials, "budget": budget, "concurrency": 1})
    space, model, training = settings.space, params.model, params.training

    baseline = Candidate(architecture=Architecture.from_model(model, SHAPE, CLASSES), training={})
    config = StudyConfig(
        base="study",
        name="study",
        settings=settings,
        training=training.model_copy(update={"epochs": settings.epochs, "patience": None}),
        model=model,
        first_trials=(EnqueuedTrial(baseline, nearest_to_baseline(space, model, training), "model"),),
        input_shape=SHAPE,
        classes=CLASSES,
        images=20_000,
        val_images=5_000,
        seed=1,
    )
    storage = open_storage(f"sqlite:///{folder}/optuna.db")
    create = partial(open_study, storage, make_pruner(settings))
    pair = PrunableStudy(create, config.name, SeededSampler(config), settings.objectives)
    _fill(pair.study, config, finished)
    driver = Driver(
        config=config,
        studies=pair,
        engine=InlineEngine(cast(TrainingData, None), work=work),
        checkpoints=RungCheckpoints(folder / "states"),
        cached_results={},
    )
    running, taken = driver.run(), list[float]()
    with _tracked(folder, config) if tracked else nullcontext(None) as live:
        while len(taken) < trials:
            began = time.perf_counter()
            result = next(running)
            if live is not None:
                live.child(trial_record(result, config), time.time() - 1.0, time.time())
            taken.append(time.perf_counter() - began)
    return taken[2:]  # the first two include one-time imports


def _tracked(folder: Path, config: StudyConfig) -> AbstractContextManager[LiveRun]:
    """Track the study in a database in the folder."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    digests = dict.fromkeys(("train", "val", "test"), "0" * 16)
    dataset = Dataset(
        name="simulated", input_shape=SHAPE, dtype="uint8", classes=tuple(map(str, range(CLASSES))),
        counts={"train": {"0": config.images}, "val": {"0": config.val_images}, "test": {"0": 1}}, mean=(0.0,),
        std=(1.0,), digests=digests, duplicates={}, skipped=(),
    )  # fmt: skip
    return track(study_record(config, dataset), folder)


def _fill(study: optuna.Study, config: StudyConfig, finished: int) -> None:
    """Add finished trials with the attributes that the driver sets."""
    memory = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    random, made = np.random.default_rng(0), []
    for _ in range(finished):
        trial = memory.ask()
        candidate = propose(trial, config.settings.space, config.model, SHAPE, CLASSES)
        value, complete = float(random.uniform()), random.uniform() < 0.2
        reached = config.rungs[: None if complete else 1]
        history = [{"epoch": e + 1, "val_accuracy": value, "val_loss": 1.0, **QUALITY}
                   for e in range(reached[-1].epoch)]  # fmt: skip
        made.append(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                value=value,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={
                    PROPOSAL: candidate.model_dump(mode="json"),
                    COST: check_feasibility(candidate, config.settings.budget).cost,
                    TRAINED: {"epochs": history, "seconds": 1.0}, PASSED: reached[-1].resource,
                    STARTED: {"nominal": 0.0, "clock": 0.0},
                },
                system_attrs={f"completed_rung_{number}": value for number in range(len(reached))},
                intermediate_values={rung.resource: value for rung in reached},
            )
        )  # fmt: skip
        memory.tell(trial, value)
    study.add_trials(made)


if __name__ == "__main__":
    sys.exit(main())
