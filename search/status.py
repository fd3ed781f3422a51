"""Progress of the study of params.yaml, read while another process may be writing it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import optuna
from sqlalchemy import NullPool, column, create_engine, event, inspect, make_url, select, table

from pipeline.backend.runtime import load_keras
from pipeline.data.dataset import read_dataset
from pipeline.description.notation import in_words
from pipeline.errors import UserError
from pipeline.params.addresses import hide_password
from pipeline.sections import Params
from pipeline.terminal.console import say
from pipeline.terminal.progress import duration, screen
from search.analysis.time_left import seconds_left
from search.paths import Paths
from search.report.trial_line import line
from search.storage.database import StudyDatabase, cached_results, storage_address
from search.storage.lock import is_locked, is_running
from search.storage.messages import opening_errors, storage_errors
from search.study.config import StudyConfig, study_config
from search.study.finalists import candidate_key, finalists_of, recorded_finals, with_finals
from search.study.job import RungResult
from search.study.results import STARTED, TrialResult, best_of, read_trial


@dataclass(frozen=True)
class StudyProgress:
    """A snapshot of a study.

    Attributes:
        results: All trials that have been drawn.
        started: Numbers of the trials whose training has started.
        driven: Whether a process is running the study. None if unknown.
    """

    results: tuple[TrialResult, ...]
    started: frozenset[int]
    driven: bool | None

    @property
    def done(self) -> int:
        """Number of trials that count against `search.trials`."""
        return sum(result.counts for result in self.results)


@dataclass(frozen=True)
class Status:
    """Reads a study repeatedly, and describes its progress."""

    study: optuna.Study
    config: StudyConfig
    lock: Path | None  # the driver's lock file; None if it may be on another machine
    cached_results: Mapping[tuple[int, str], RungResult]  # what earlier studies trained

    def read(self) -> StudyProgress:
        """Return the current state of the study."""
        trials = self.study.get_trials(deepcopy=False)
        results = tuple(result for trial in trials if (result := read_trial(trial)) is not None)
        started = frozenset(trial.number for trial in trials if STARTED in trial.user_attrs)
        return StudyProgress(
            with_finals(results, self.config, recorded_finals(self.study)),
            started,
            is_running(self.study.study_name, self.study._storage) if self.lock is None else is_locked(self.lock),
        )

    def is_over(self, progress: StudyProgress) -> bool:
        """Return whether nothing more will be trained."""
        failed = sum(result.state == "failed" for result in progress.results)
        if failed > self.config.settings.max_failures:
            return True
        done, total = self._finals(progress)
        return progress.done >= self.config.settings.trials and done == total

    def _finals(self, progress: StudyProgress) -> tuple[int, int]:
        """Return the number of finished trainings of finalists, and of all of them."""
        seeds = self.config.settings.finalists.seeds
        chosen, finished = finalists_of(progress.results, self.config), recorded_finals(self.study)
        done = sum(min(seeds, len(finished.get(candidate_key(each, self.config), {}))) for each in chosen)
        return done, seeds * len(chosen)

    def text(self, progress: StudyProgress, reports: Path) -> str:
        """Describe the progress in several lines."""
        results, best = progress.results, best_of(progress.results, self.config.settings)
        kinds = Counter(result.kind for result in results if result.state != "running")
        counts = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds)) or "no finished trials"
        over, objective = self.is_over(progress), self.config.settings.objectives[0]
        unfinished = [self._unfinished(each, progress.started) for each in results if each.state == "running"]
        return "\n".join(
            [
                f"{self.study.study_name}: {progress.done} of {self.config.settings.trials} trials done",
                *(f"  {line}" for line in (counts, *sorted(unfinished))),
                *self._finals_in_words(progress),
                f"best so far: {'no complete trial yet' if best is None else line(best, objective)}",
                f"time left: {self._left(progress)}",
                *(f"failed: trial {each.number}: {each.reason}" for each in results if each.state == "failed"),
                f"details: {reports / 'index.html'}{'' if over else ' (after the study ends)'}, `fovea ui` (MLflow), "
                "`fovea dashboard` (optuna-dashboard)",
            ]
        )

    def _finals_in_words(self, progress: StudyProgress) -> list[str]:
        done, total = self._finals(progress)
        waiting = progress.done < self.config.settings.trials
        return [] if waiting or not total else [f"finalists: {done} of {total} training runs done"]

    def seconds_left(self, progress: StudyProgress) -> float | None:
        """Estimate the remaining seconds, or return None if they are unknown."""
        return seconds_left(progress.results, self.config, self.cached_results, self._finals(progress)[0])

    def _left(self, progress: StudyProgress) -> str:
        if self.is_over(progress):
            return "none, the study has ended"
        if progress.driven is False:
            return "unknown, no process is running the study; resume it with `fovea search`"
        seconds = self.seconds_left(progress)
        return (
            "unknown, no training time has been measured yet"
            if seconds is None
            else f"about {duration(seconds)} (rough estimate)"
        )

    def _unfinished(self, result: TrialResult, started: frozenset[int]) -> str:
        if result.number not in started:
            return f"waiting: trial {result.number:>3}  {in_words(result.candidate)}"
        epochs, every = len(result.history), self.config.rungs
        done = sum(rung.epoch <= epochs for rung in every)
        if done == len(every):
            where = "all rungs finished"
        else:
            where = f"rung {done + 1} of {len(every)}, epochs {epochs + 1} to {every[done].epoch} of {every[-1].epoch}"
        since = f"since {datetime.fromtimestamp(result.started):%F %T}"
        return f"running: trial {result.number:>3}  {where}, {since}  {in_words(result.candidate)}"


def run(params: Params, paths: Paths, watch: bool) -> None:
    """Print the progress of the study; with `watch`, repeat it until the study is over or the user stops it.

    Raises:
        UserError: The study does not exist yet, or the storage cannot be read.
    """
    dataset = read_dataset(paths.prepared / "dataset.json")
    if params.model.backbone is not None:  # its geometry is read off Keras
        load_keras("status", params.training.threads)
    config = study_config(params, dataset)
    name, address = config.name, storage_address(params.search)
    with storage_errors(address):
        study = open_to_read(name, address)
        lock = paths.studies / name / "lock" if make_url(address).get_backend_name() == "sqlite" else None
        status = Status(study, config, lock, cached_results(study, config.base))
        watch_status(status, paths.reports) if watch else say(status.text(status.read(), paths.reports))


def watch_status(status: Status, reports: Path, pause: Callable[[], None] = lambda: time.sleep(2)) -> None:
    """Keep the status on the terminal. If the output is not a terminal, print the status whenever it changes.

    The function returns when the study is over, when the process that runs it ends, or after Ctrl-C.
    """
    driven = False  # at an earlier read
    with suppress(KeyboardInterrupt), screen() as show:
        while True:
            progress = status.read()
            show(status.text(progress, reports))
            if status.is_over(progress) or (driven and progress.driven is False):
                return
            driven = driven or progress.driven is True
            pause()


def open_to_read(name: str, address: str) -> optuna.Study:
    """Open a study read-only, so that nothing in the storage is created or changed.

    Raises:
        UserError: The study does not exist, or the storage cannot be opened.
    """
    missing = UserError(f"{name}: no such study in {hide_password(address)}; start it with `fovea search`")
    with opening_errors(address):
        url, engine = make_url(address), {"poolclass": NullPool}  # holds no connection between two reads
        file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        if file and not file.exists():
            raise missing
        with create_engine(address, **engine).connect() as connection:
            names = select(table("studies", column("study_name")))
            if not inspect(connection).has_table("studies") or name not in connection.execute(names).scalars():
                raise missing
        # By default, Optuna completes unfinished tables. Tables that contain a study are complete.
        storage = StudyDatabase(address, engine_kwargs=engine, skip_table_creation=True)
        if file:
            event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
        return optuna.load_study(study_name=name, storage=storage)
