"""The study as a CSV table and as summary metrics."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from pipeline.cnn.candidate import Candidate
from pipeline.description.flat_values import architecture_values
from search.analysis.finalists import optimism
from search.analysis.uncertainty import tied_trials
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of
from search.study.rungs import Rung

COST_COLUMNS = ("params", "trainable_params", "macs", "activation_bytes", "receptive_field", "latency_ms")
FINAL_COLUMNS = ("val_accuracy", "val_loss", "val_macro_f1", "val_balanced_accuracy")


def trials_csv(results: Sequence[TrialResult], config: StudyConfig) -> str:
    """Return the study as CSV with one row per trial.

    The columns are number, state and reason; `drawn.*`, the values that the sampler proposed; `effective.*`, the values
    that were trained, with one value per block or dense layer, separated by slashes; the first objective at each rung,
    such as `val_accuracy@EPOCH`; the metrics after the last epoch; the costs; the dtype of the training; the digest of
    the architecture.
    """
    objective, columns = config.settings.objectives[0], _cost_columns(results)
    drawn = sorted({name for result in results for name in result.drawn})
    effective = list(dict.fromkeys(name for result in results for name in effective_values(result.candidate)))
    header = [
        *("number", "state", "reason"),
        *(f"drawn.{name}" for name in drawn),
        *(f"effective.{name}" for name in effective),
        *(f"{objective}@{rung.epoch}" for rung in config.rungs),
        *(*FINAL_COLUMNS, *columns, "compute_dtype", "architecture"),
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for result in results:
        values = effective_values(result.candidate)
        writer.writerow(
            _cell(value)
            for value in (
                *(result.number, result.state, result.reason),
                *(result.drawn.get(name) for name in drawn),
                *(values.get(name) for name in effective),
                *(at_rung(result, rung, objective) for rung in config.rungs),
                *(result.history[-1].get(name) if result.history else None for name in FINAL_COLUMNS),
                *(result.cost.get(name) for name in columns),
                result.compute_dtype,
                result.candidate.architecture.digest,
            )
        )
    return text.getvalue()


def at_rung(result: TrialResult, rung: Rung, objective: str) -> float | None:
    """Return a training metric of a trial at the end of a rung, or None if the trial did not finish the rung."""
    return result.history[rung.epoch - 1][objective] if len(result.history) >= rung.epoch else None


def effective_values(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as a flat mapping: each key of its blocks and its head, and its drawn training settings."""
    return architecture_values(candidate.architecture) | candidate.training


def summary(results: Sequence[TrialResult], config: StudyConfig) -> dict[str, float | int]:
    """Return the summary metrics of the study for `dvc metrics`.

    Args:
        results: All trials of the study.
        config: The constants of the study.
    """
    settings = config.settings
    best = best_of(results, settings)
    states = ("complete", "pruned", "reused", "failed")
    counts = {state: sum(result.state == state for result in results) for state in states}
    quality = settings.objectives[0]
    won: dict[str, float | int] = {}
    if best is not None:
        won = {f"best_{quality}": best.objective(quality), "best_val_accuracy": best.val_accuracy or 0.0}
        won |= {"best_trial": best.number, "best_params": best.cost["params"], "best_macs": best.cost["macs"]}
        if best.finals and not best.diverged:
            won |= {f"best_{quality}_mean": best.decisive(quality)}
        if (luck := optimism(results, quality)) is not None:
            won |= {"optimism": luck}
        won |= {"tied_trials": len(tied_trials(results, best, config.val_images)), "val_images": config.val_images}
    return {
        **won,
        "trials": sum(result.counts for result in results),
        **counts,
        "infeasible": sum(result.state == "infeasible" for result in results),
        "trained_epochs": sum(len(result.history) for result in results if result.trained),
    }


def _cost_columns(results: Sequence[TrialResult]) -> tuple[str, ...]:
    return tuple(
        name for name in COST_COLUMNS if name != "latency_ms" or any(name in result.cost for result in results)
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "x".join(str(each) for each in value)
    if isinstance(value, float):
        return f"{value:.15g}"  # 0.3 instead of the sum of steps 0.30000000000000004
    return str(value)
