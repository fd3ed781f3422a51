"""The stage search: run a study on the prepared splits, write models/architecture.yaml and reports/search/."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.backbones.check import check_backbone, unwatched
from pipeline.backend.runtime import load_keras
from pipeline.cnn.candidate import Origin, write_candidate
from pipeline.data.training_data import TrainingData, read_training_data
from pipeline.errors import UserError, shown_first
from pipeline.params import SearchParams
from pipeline.sections import Params
from pipeline.terminal.console import note, say
from pipeline.terminal.progress import duration, meter
from search.analysis.finalists import finalists_in_words
from search.analysis.uncertainty import uncertainty_in_words
from search.estimate.precheck import check_something_fits
from search.paths import Paths
from search.report.trial_line import line
from search.space.draw import check_space
from search.space.first_trials import baseline_candidate
from search.study.job import RungResult
from search.study.results import TrialResult, best_of

if TYPE_CHECKING:
    from search.study.config import StudyConfig
    from search.study.driver import Driver
    from search.study.job import Engine

OWN_VAL = (
    "search.finalists.cross_validation mixes the training split with the validation split of the source; set it to "
    "false if they differ on purpose"
)
_ESTIMATED_FROM = 3  # trials; an estimate from the first one would be unreliable


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
    data = read_training_data(paths.prepared)
    dataset = data.dataset
    shape, classes = dataset.input_shape, len(dataset.classes)
    if model.backbone is not None:  # its geometry is read off Keras
        load_keras("search", training.threads)
    baseline = baseline_candidate(
        model, shape, classes, settings.budget, dataset.kind
    )  # before slow libraries are loaded
    if baseline.architecture.backbone is not None:
        check_backbone(baseline.architecture.backbone, dataset)
        if remark := unwatched(baseline.architecture.backbone):
            say(f"search: {remark}")
    check_space(settings.space, model, training)
    if settings.trials > 1 + len(settings.enqueue):
        check_something_fits(settings.space, model, settings.budget, shape, classes, dataset.kind)
    if settings.engine == "processes":
        from search.engine.process_engine import preload

        preload()
    note("search: loading Optuna and MLflow")

    from optuna import logging

    from pipeline.tracking.live import track
    from pipeline.tracking.record import write_record
    from search.report.rungs_line import rungs_in_words
    from search.report.runs import close_study, study_record, trial_record
    from search.report.write import write_reports
    from search.storage.database import (
        cached_results,
        earlier_finals,
        open_storage,
        open_study,
        other_studies,
        set_aside,
        storage_address,
        times_of,
        training_times,
    )
    from search.storage.lock import study_lock, study_lock_in_database
    from search.storage.messages import storage_errors
    from search.study.checkpoints import RungCheckpoints
    from search.study.config import study_config
    from search.study.driver import Driver
    from search.study.finalists import FinalTrainings, with_finals
    from search.study.prunable import PrunableStudy
    from search.study.pruner import make_pruner
    from search.study.sampler import SeededSampler

    logging.set_verbosity(logging.ERROR)
    config = study_config(params, dataset)
    name, settings = config.name, config.settings
    sampler = SeededSampler(config)
    with study_lock(paths.studies / name), storage_errors(address := storage_address(settings)), ExitStack() as stack:
        storage = open_storage(address)
        stack.enter_context(study_lock_in_database(name, storage))
        if retry_failed:
            set_aside(name, storage)
        pair = PrunableStudy(partial(open_study, storage, make_pruner(settings)), name, sampler, settings.objectives)
        earlier_times, cached = training_times(pair.study, config.base), cached_results(pair.study, config.base)
        with (
            closing(_engine(data, paths.prepared, settings, training.threads)) as engine,
            meter("search: trials", settings.trials) as show,
        ):
            driver = Driver(
                config=config,
                studies=pair,
                engine=engine,
                checkpoints=RungCheckpoints(paths.studies / name),
                cached_results=cached,
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
                if not earlier and not cached and (others := other_studies(pair.study, config.base)):
                    kept = "earlier studies with different settings, data or code are kept"
                    say(f"starting a new study; {kept}: {shown_first(others)}")
                say(rungs_in_words(config.rungs, config.images, config.training.batch_size))
                if settings.finalists.count and settings.finalists.cross_validation and dataset.own_val:
                    say(OWN_VAL)
                for result in earlier:
                    publish(result)
                page = paths.studies / name / "index.html"
                try:
                    results = _run_trials(driver, publish, config, cached)
                    if driver.counted >= settings.trials:  # otherwise the next run may find other finalists
                        trainings = FinalTrainings(config, pair.study, engine, earlier_finals(pair.study, config.base))
                        for words in trainings.run(results):
                            show(driver.counted, words)
                        results = with_finals(results, config, trainings.finals)
                except UserError as error:
                    write_reports(pair.study, driver.ended(), config, page.with_name("stopped"), page)
                    live.page("study-report.html", page)
                    raise UserError(f"{error}\ndetails: {page}") from None
                close_study(live.record, results, config)
                write_reports(pair.study, results, config, paths.reports, page, live.child_addresses("trial"))
                live.page("study-report.html", page, paths.reports / "index.html")
                for written in (*sorted(paths.reports.glob("*.png")), paths.reports / "trials.csv"):
                    live.artifact(written)
            write_record(live.record, paths.reports / "run.json")
            best = best_of(results, settings)
            assert best is not None  # noqa: S101  # for the type
            origin = Origin(
                study=name, trial=best.number, val_accuracy=best.val_accuracy or 0.0, seeds=len(best.finals)
            )
            write_candidate(config.first_trials[0].candidate, paths.baseline)
            write_candidate(best.candidate.model_copy(update={"origin": origin}), paths.architecture)
            for sentence in _summary(results, best, config, paths.reports):
                say(sentence)


def _engine(data: TrainingData, folder: Path, settings: SearchParams, threads: int) -> "Engine":
    timeout = None if settings.rung_timeout_minutes is None else settings.rung_timeout_minutes * 60
    if settings.workers > settings.concurrency:
        say(
            f"search.workers is {settings.workers}, but search.concurrency is {settings.concurrency}: the other "
            "workers stay idle"
        )
    match settings.engine:
        case "inline":
            from search.engine.inline import InlineEngine

            return InlineEngine(data, timeout)
        case "processes":
            from search.engine.process_engine import ProcessEngine

            return ProcessEngine(data, settings.workers, timeout, folder=folder)
        case "ray":
            from search.engine.ray_engine import RayEngine

            return RayEngine(data, settings.ray, settings.workers, threads, timeout, folder=folder)


def _run_trials(
    driver: "Driver",
    publish: Callable[[TrialResult], None],
    config: "StudyConfig",
    cached: Mapping[tuple[int, str], RungResult],
) -> tuple[TrialResult, ...]:
    """Run the study, and print and publish each trial as it ends.

    Args:
        driver: The driver of the study.
        publish: Records a trial as an MLflow run.
        config: The constants of the study.
        cached: What earlier studies trained.

    Returns:
        All finished trials, in order.

    Raises:
        UserError: Too many trials failed or did not fit, or no trial completed.
    """
    from search.analysis.time_left import seconds_left

    settings = config.settings
    for result in driver.run():
        place = ""
        if result.counts:
            seconds = seconds_left(driver.ended(), config, cached) if driver.counted >= _ESTIMATED_FROM else None
            remaining = f", about {duration(seconds)} left" if seconds else ""
            place = f"  ({driver.counted} of {settings.trials}{remaining})"
        say(line(result, settings.objectives[0]) + place)
        publish(result)
    results = driver.ended()
    if best_of(results, settings) is None:
        raise UserError(f"{config.name}: no trial completed; {_reasons(results)}")
    return results


def _summary(
    results: tuple[TrialResult, ...], best: TrialResult, config: "StudyConfig", reports: Path
) -> Iterator[str]:
    """Yield lines about the trials, each failure, the best trial and its uncertainty."""
    counts = Counter(result.kind for result in results)
    yield "trials: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    yield from (f"  trial {result.number}: {result.reason}" for result in results if result.state == "failed")
    yield f"details: {reports / 'index.html'}, `fovea ui` (MLflow), `fovea dashboard` (optuna-dashboard)"
    settings = config.settings
    if (missing := settings.trials - sum(result.counts for result in results)) > 0:
        yield (
            f"stopped at search.timeout_hours: {missing} of {settings.trials} trials were not run; resume with "
            "`fovea search`, or raise the limit"
        )
    yield f"best: {line(best, settings.objectives[0])}"
    yield from finalists_in_words(results, best, settings, config.words)
    yield from uncertainty_in_words(results, best, settings.objectives[0], config.val_images, config.words)


def _reasons(results: tuple[TrialResult, ...]) -> str:
    return "; ".join(f"trial {result.number}: {result.reason}" for result in results if result.reason)
