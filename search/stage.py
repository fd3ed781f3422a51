"""The stage search: a study from the prepared splits to models/architecture.yaml and reports/search/."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.cnn.candidate import Origin, write_candidate
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.params import ModelParams, SearchParams, TrainingParams
from pipeline.terminal import UserError, progress, say
from search.baseline import baseline_candidate
from search.job import Data
from search.precheck import check_something_fits
from search.results import TrialResult, best_of, line, until_trials
from search.space import check_space, nearest_to_baseline, propose


def run(
    model: ModelParams,
    training: TrainingParams,
    settings: SearchParams,
    seed: int,
    prepared: Path,
    studies: Path,
    architecture: Path,
    reports: Path,
) -> None:
    """Run or continue the study; write the winner to `architecture`, and table, plots and records to `reports`.

    Raises:
        UserError: the baseline, the space or the storage is at fault, or too many trials failed.
    """
    dataset = read_dataset(prepared / "dataset.json")
    classes = len(dataset.classes)
    baseline = baseline_candidate(model, dataset.input_shape, classes, settings.budget)
    check_space(settings.space, model)
    if settings.trials > 1:
        check_something_fits(settings.space, model, training, settings.budget, dataset.input_shape, classes)
    data = Data(dataset, read_split(prepared / "train", "train"), read_split(prepared / "val", "val"))
    trial_training = training.model_copy(update={"epochs": settings.epochs, "patience": None})

    from optuna import logging

    from pipeline.tracking import track, write_record
    from search.engine import InlineEngine
    from search.identity import study_name
    from search.records import close_study, study_record, trial_record
    from search.report import write_reports
    from search.rungs import RungStates, lay_out_brackets, make_pruner, rung_epochs
    from search.sampler import SeededSampler
    from search.storage import only_driver, open_study
    from search.study import Driver

    logging.set_verbosity(logging.ERROR)
    name = study_name(model, trial_training, settings, dataset, seed)
    with only_driver(studies / name):
        pruner = make_pruner(settings)
        sampler = SeededSampler(settings.sampler, settings.startup_trials, seed)
        study = open_study(name, settings.storage, sampler, pruner)
        lay_out_brackets(study)
        driver = Driver(
            study=study,
            settings=settings,
            training=trial_training,
            baseline=baseline,
            enqueued=nearest_to_baseline(settings.space, model, training),
            propose=lambda trial: propose(trial, settings.space, model, training, dataset.input_shape, classes),
            engine=InlineEngine(data),
            states=RungStates(studies / name),
            seed=seed,
        )
        with track(study_record(name, settings, trial_training, dataset, seed)) as live:

            def publish(result: TrialResult) -> None:
                if result.trained:
                    live.child(trial_record(result, name, trial_training, seed), *driver.times(result.number))

            earlier = until_trials(driver.ended(), settings.trials)
            done = sum(result.trained for result in earlier)
            say(f"{name}: {done} of {settings.trials} trials done" if done else f"{name}: {settings.trials} trials")
            for result in earlier:
                publish(result)
            for _ in progress(_trained(driver.run(), publish), "search", total=settings.trials - done):
                pass
            results = until_trials(driver.ended(), settings.trials)
            best = best_of(results)
            if best is None:
                raise UserError(f"{name}: no trial completed; {_reasons(results)}")
            close_study(live.record, results)
            write_reports(study, results, rung_epochs(settings), reports)
            for file in (*sorted(reports.glob("*.png")), reports / "trials.csv"):
                live.artifact(file)
        write_record(live.record, reports / "run.json")
        origin = Origin(study=name, trial=best.number, val_accuracy=best.val_accuracy or 0.0)
        write_candidate(best.candidate.model_copy(update={"origin": origin}), architecture)
        say(f"best: {line(best)}")


def _trained(results: Iterator[TrialResult], publish: Callable[[TrialResult], None]) -> Iterator[TrialResult]:
    """Tell and publish each trial as it ends; pass on those that count against `search.trials`."""
    for result in results:
        say(line(result))
        publish(result)
        if result.trained:
            yield result


def _reasons(results: tuple[TrialResult, ...]) -> str:
    return "; ".join(f"trial {result.number}: {result.reason}" for result in results if result.reason)
