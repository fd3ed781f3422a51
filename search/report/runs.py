"""MLflow run records of a study and its trials."""

import json
from collections.abc import Sequence

from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.dataset import Dataset
from pipeline.description.flat_values import architecture_values
from pipeline.description.layer_table import layer_cells
from pipeline.description.notation import in_words, run_name
from pipeline.digest import digest
from pipeline.params.search import WITHOUT_EFFECT
from pipeline.tracking.record import STATUS_OF_TRIAL, RecordedDataset, RunRecord
from search.analysis.finalists import finalists_in_words
from search.analysis.trials_csv import at_rung, summary
from search.analysis.uncertainty import uncertainty_in_words
from search.study.config import EXTENDS, StudyConfig
from search.study.results import TrialResult, best_of, direction, ranked

MAX_LAYERS = 50  # in the layer table of a trial; MLflow truncates longer texts
_OPTUNA_STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def study_record(config: StudyConfig, dataset: Dataset) -> RunRecord:
    """Return the run record of a study without its trials.

    Studies that differ only in settings that extend them, such as `trials`, share one run, which continues when the
    study is extended. So these settings are recorded as tags, which can change. They are not part of the name, and not
    parameters, which are immutable.
    """
    settings = config.settings
    space = {key: json.dumps(values.model_dump(mode="json")) for key, values in settings.space.given().items()}
    budget = settings.budget.model_dump()
    plain = settings.model_dump(mode="json", exclude={"space", "budget", *EXTENDS})
    extending = settings.model_dump(mode="json", include=set(EXTENDS - WITHOUT_EFFECT))
    return RunRecord(
        kind="study",
        key=digest("study", config.base),
        name=f"study of {dataset.name}: {', '.join((*settings.objectives, settings.sampler, settings.pruner))}",
        params={
            **{f"search.{key}": value for key, value in plain.items()},
            **{f"search.budget.{key}": value for key, value in budget.items()},
            **{f"search.space.{key}": value for key, value in space.items()},
            "seed": config.seed,
        },
        tags={"study": config.name, **{f"search.{key}": str(value) for key, value in extending.items()}},
        dataset=_dataset(dataset),
        description=f"Search for CNN architectures on {dataset.name}. At most {config.training.epochs} epochs a trial.",
    )


def trial_record(result: TrialResult, config: StudyConfig) -> RunRecord:
    """Return the run record of a finished trial. Studies that differ only in settings that extend them share it."""
    candidate, training, settings = result.candidate, config.training, config.settings
    applied = candidate.overlay(training).model_dump(mode="json")
    augmentation = applied.pop("augmentation")
    objective = settings.objectives[0]
    state = result.state
    if state == "reused":  # it ended in the same way as its original
        state = "complete" if len(result.history) == settings.epochs else "pruned"
    last = int(result.history[-1]["epoch"]) if result.history else 0
    return RunRecord(
        kind="trial",
        key=digest("trial", config.base, result.number, candidate.digest),
        name=run_name(f"trial {result.number}{' (baseline)' if result.number == 0 else ''}: {in_words(candidate)}"),
        params={
            **{f"architecture.{key}": value for key, value in architecture_values(candidate.architecture).items()},
            **{f"training.{key}": value for key, value in applied.items()},
            **{f"training.augmentation.{key}": value for key, value in augmentation.items()},
            **{f"drawn.{key}": value for key, value in result.drawn.items()},
            "seed": config.seed,
        },
        tags={
            "study": config.base,
            "trial": str(result.number),
            "state": result.state,
            "reason": result.reason,
            "architecture": candidate.architecture.digest,
            **({"compute_dtype": result.compute_dtype} if result.compute_dtype else {}),
        },
        metrics=[
            *((name, int(epoch["epoch"]), value) for epoch in result.history for name, value in _metrics(epoch)),
            *((name, last, float(value)) for name, value in result.cost.items()),
            *([] if result.val_accuracy is None else [("best_val_accuracy", last, result.val_accuracy)]),
            *(
                (f"rung_{objective}", rung.epoch, value)
                for rung in config.rungs
                if (value := at_rung(result, rung, objective)) is not None
            ),
        ],
        texts={"architecture.yaml": candidate.architecture.to_yaml()},
        status=STATUS_OF_TRIAL[_OPTUNA_STATES[state]],
        reason=result.reason,
        description=f"{in_words(candidate)}\n\n**{result.reason or result.state}**\n\n{_layers(candidate)}",
    )


def _layers(candidate: Candidate) -> str:
    """Return the layers of a candidate as a Markdown table."""
    lines = ["| layer | kind | output | parameters | MACs |", "|---|---|---|---|---|"]
    layers = compute_geometry(candidate.architecture).layers
    lines += [f"| {' | '.join(layer_cells(entry)[:5])} |" for entry in layers[:MAX_LAYERS]]
    if len(layers) > MAX_LAYERS:
        lines.append(f"| and {len(layers) - MAX_LAYERS} more | | | | |")
    return "\n".join(lines)


def close_study(record: RunRecord, results: Sequence[TrialResult], config: StudyConfig) -> None:
    """Add the results of a study to its run record.

    Args:
        record: The run record of the study. It is modified in place.
        results: All trials of the study.
        config: The constants of the study.
    """
    record.children.sort(key=lambda child: int(child.tags["trial"]))  # they may end in another order or be resumed
    settings = config.settings
    numbers = summary(results, config)
    record.metrics = [(name, 0, float(value)) for name, value in numbers.items()]
    first = settings.objectives[0]
    better, so_far = (max if direction(first) == "maximize" else min), list[float]()
    for result in results:
        if result.state == "complete":
            so_far.append(better([result.objective(first), *so_far[-1:]]))
            record.metrics.append(("best_so_far", result.number, so_far[-1]))
    best = best_of(results, settings)
    if best is not None:
        record.tags |= {"best_trial": str(best.number), "architecture": best.candidate.architecture.digest}
        record.texts["architecture.yaml"] = best.candidate.architecture.to_yaml()
        record.description = describe_study(record.description, results, best, config)


def describe_study(first: str, results: Sequence[TrialResult], best: TrialResult, config: StudyConfig) -> str:
    """Describe a study in Markdown for the MLflow UI.

    Args:
        first: The first sentence of the description.
        results: All trials of the study.
        best: The winning trial.
        config: The constants of the study.
    """
    objective = config.settings.objectives[0]
    rows = ranked(results, objective)
    rows += [result for result in results if result.trained and result.history and result.state != "complete"]
    shown = list(dict.fromkeys((objective, "val_accuracy")))
    figures = ", ".join(f"{name} **{best.objective(name):.4f}**" for name in shown)
    lines = [
        first,
        "",
        f"Best: **trial {best.number}**, {figures}, {best.cost['params']:,} parameters: {in_words(best.candidate)}.",
        "",
        " ".join(
            [
                *finalists_in_words(results, best, config.settings, config.words),
                *uncertainty_in_words(results, best, objective, config.val_images, config.words),
            ]
        ),
        "",
        f"| trial | state | {' | '.join(shown)} | parameters | candidate |",
        f"|---|---|{'---|' * len(shown)}---|---|",
    ]
    for row in rows[:10]:
        cells = [f"{row.objective(name):.4f}" for name in shown]
        lines.append(
            f"| {row.number} | {row.state} | {' | '.join(cells)} | {row.cost['params']:,} | {in_words(row.candidate)} |"
        )
    return "\n".join(lines)


def _metrics(epoch: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, float(value)) for name, value in epoch.items() if name != "epoch" and value is not None]


def _dataset(dataset: Dataset) -> RecordedDataset:
    digests = {name: dataset.digests[name] for name in ("train", "val")}
    return {"name": dataset.name, "digest": digest(digests), "source": dataset.name, "contexts": digests}
