"""The stage search: run a study on the prepared splits, write models/architecture.yaml and reports/search/."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cnn.candidate import Origin, write_candidate
from pipeline.console import duration, meter, note, say
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.errors import UserError
from pipeline.params import Params, SearchParams
from search.analysis.doubt import uncertainty_in_words
from search.estimate.precheck import check_something_fits
from search.paths import Paths
from search.report.trial_line import line
from search.space.draw import check_space
from search.space.first_trials import baseline_candidate
from search.study.job import StudyData
from search.study.results import BASELINE, TrialResult, best_of

if TYPE_CHECKING:
    from search.study.config import StudyConfig
    from search.study.engine import Engine

_FORETOLD_FROM = 5  # trials, including two assumed ones; an estimate from the first trial would be unreliable


def run(params: Params, paths: Paths, retry_failed: bool = False) -> None:
    """Run or resume the study, and write the winner, the table, the plots and the records.

    Args:
        params: The sections `model`, `training` and `search`, and the seed.
        paths: Input and output paths of the stage.
        retry_failed: Whether to try failed trials again.

    Raises:
        UserError: The baseline, the space, the engine or the storage is invalid, too many trials failed, or no trial
            completed.
    """
    model, training, settings = params.model, params.training, params.search
    dataset = read_dataset(paths.prepared / "dataset.json")
    shape, classes = dataset.input_shape, len(dataset.classes)
    baseline = baseline_candidate(model, shape, classes, settings.budget)
    check_space(settings.space, model, training)
    if settings.trials > 1 + len(settings.enqueue):
        check_something_fits(settings.space, model, settings.budget, shape, classes)
    data = StudyData(dataset, read_split(paths.prepared / "train", "train"), read_split(paths.prepared / "val", "val"))
    note("search: loading Optuna and MLflow")

    from optuna import logging

    from pipeline.tracking.live import track
    from pipeline.tracking.record import write_record
    from search.report.runs import close_study, study_record, trial_record
    from search.report.write import write_reports
    from search.storage.database import (
        cached_histories,
        open_storage,
        open_study,
        set_aside,
        storage_address,
        storage_errors,
        times_of,
        training_times,
    )
    from search.storage.lock import only_driver, only_driver_of_all
    from search.study.config import study_config
    from search.study.driver import Driver
    from search.study.prunable import PrunableStudy
    from search.study.pruner import make_pruner
    from search.study.rungs import rungs_in_words
    from search.study.sampler import SeededSampler
    from search.study.states import RungStates

    logging.set_verbosity(logging.ERROR)
    config = study_config(params, dataset)
    name, settings = config.name, config.settings
    sampler = SeededSampler(config)
    with only_driver(paths.studies / name), storage_errors(address := storage_address(settings)), ExitStack() as stack:
        storage = open_storage(address)
        stack.enter_context(only_driver_of_all(name, storage))
        if retry_failed:
            set_aside(name, storage)
        pair = PrunableStudy(partial(open_study, storage, make_pruner(settings)), name, sampler, settings.objectives)
        earlier_times = training_times(pair.study, config.base)
        with (
            closing(_engine(data, settings, training.threads)) as engine,
            meter("search: trials", settings.trials) as show,
        ):
            driver = Driver(
                config=config,
                studies=pair,
                engine=engine,
                states=RungStates(paths.studies / name),
                cached_histories=cached_histories(pair.study, config.base),
                on_wait=lambda words: show(driver.counted, words),
            )
            with track(study_record(config, dataset)) as live:

                def publish(result: TrialResult) -> None:
                    if result.counts:
                        started, ended = times_of(result, earlier_times)
                        live.child(trial_record(result, config), started, ended)

                earlier = driver.ended()
                done = sum(result.counts for result in earlier)
                say(f"{name}: {done} of {settings.trials} trials done" if done else f"{name}: {settings.trials} trials")
                say(rungs_in_words(config.rungs, settings.min_steps, config.images, config.training.batch_size))
                for result in earlier:
                    publish(result)
                ending, page = _telling(driver.run(), publish, config, done), paths.studies / name / "index.html"
                try:
                    for _ in ending:
                        pass
                    results = driver.ended()
                    best = best_of(results, settings)
                    if best is None:
                        raise UserError(f"{name}: no trial completed; {_reasons(results)}")
                except UserError as error:
                    write_reports(pair.study, driver.ended(), config, page.with_name("stopped"), page)
                    live.page("study-report.html", page)
                    raise UserError(f"{error}\nmore: {page}") from None
                close_study(live.record, results, config)
                write_reports(pair.study, results, config, paths.reports, page, live.child_addresses("trial"))
                live.page("study-report.html", page, paths.reports / "index.html")
                for written in (*sorted(paths.reports.glob("*.png")), paths.reports / "trials.csv"):
                    live.artifact(written)
            write_record(live.record, paths.reports / "run.json")
            origin = Origin(study=name, trial=best.number, val_accuracy=best.val_accuracy or 0.0)
            write_candidate(baseline, paths.baseline)
            write_candidate(best.candidate.model_copy(update={"origin": origin}), paths.architecture)
            say(_counts(results, paths.reports))
            if (missing := settings.trials - sum(result.counts for result in results)) > 0:
                say(
                    f"search.timeout_hours is up: {missing} of {settings.trials} trials were not tried; go on with "
                    "`fovea search`, or raise it"
                )
            say(f"best: {line(best, settings.objectives[0])}")
            for sentence in uncertainty_in_words(results, best, settings.objectives[0], config.val_images):
                say(sentence)


def _engine(data: StudyData, settings: SearchParams, threads: int) -> "Engine":
    timeout = None if settings.rung_timeout_minutes is None else settings.rung_timeout_minutes * 60
    if settings.engine == "ray":
        from search.engine.ray_engine import RayEngine

        if settings.workers > settings.concurrency:
            say(
                f"search.workers is {settings.workers}, but search.concurrency lets {settings.concurrency} candidates "
                "train at once: the other workers will have nothing to do"
            )
        return RayEngine(data, settings.ray, settings.workers, threads, timeout)
    from search.engine.inline import InlineEngine

    return InlineEngine(data, timeout)


def _telling(
    results: Iterator[TrialResult], publish: Callable[[TrialResult], None], config: "StudyConfig", done: int
) -> Iterator[TrialResult]:
    """Print and publish each trial as it ends, and yield the trials that count against `search.trials`.

    Args:
        results: Trials in the order in which they end.
        publish: Records a trial as an MLflow run.
        config: The constants of the study.
        done: Number of trials that counted before this run.
    """
    from search.study.rungs import expected_share

    settings = config.settings
    began, epochs = time.monotonic(), 0
    expected = settings.epochs * expected_share(settings, config.rungs)
    taken = [expected, expected]  # epochs per trial, starting with two assumed trials
    for result in results:
        done += result.counts
        place = ""
        if result.counts:
            trained = len(result.history) if result.trained else 0
            epochs += trained
            taken.append(expected if result.number == BASELINE else trained)  # the baseline is never pruned
            left = settings.trials - done
            seconds = (time.monotonic() - began) / max(1, epochs) * left * sum(taken) / len(taken)
            remaining = f", about {duration(seconds)} left" if left and len(taken) >= _FORETOLD_FROM else ""
            place = f"  ({done} of {settings.trials}{remaining})"
        say(line(result, settings.objectives[0]) + place)
        publish(result)
        if result.counts:
            yield result


def _counts(results: tuple[TrialResult, ...], reports: Path) -> str:
    """Summarize the number of trials by state and class of failure, each failure, and where to read more."""
    found = Counter(result.kind for result in results)
    lines = ["trials: " + ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))]
    lines += [f"  trial {result.number}: {result.reason}" for result in results if result.state == "failed"]
    lines.append(f"more: {reports / 'index.html'}, `fovea ui` (MLflow), `fovea dashboard` (optuna-dashboard)")
    return "\n".join(lines)


def _reasons(results: tuple[TrialResult, ...]) -> str:
    return "; ".join(f"trial {result.number}: {result.reason}" for result in results if result.reason)
