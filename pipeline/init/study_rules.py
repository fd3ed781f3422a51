"""Rules for the sections `search`, `evaluate` and `register`: duration and search space of a study."""

import math
import re
from typing import Any

from pipeline.init.data_rules import FEW, grid_of, split_sizes
from pipeline.init.kind_rules import KIND_RULES
from pipeline.init.network_rules import baseline
from pipeline.init.training_rules import batch_size, epoch_seconds, epochs
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey
from pipeline.surveys.time_budget import WINNER

# Fewest trials; most of them with few and with many validation inputs; and the number for which the trials are made
# shorter if the user demanded the time.
_MIN_TRIALS, _MAX_TRIALS, _MANY_TRIALS, _TRIALS = 8, 16, 60, 20
# With fewer validation inputs, the accuracies of equal networks differ by more than about half a percent.
_NOISY = 2_000
_FINALISTS, _SEEDS = 3, 3
_STARTUP = 16  # trials from which a sampler learns
_CANDIDATE = 1.5  # approximate cost of a candidate, as a multiple of the baseline's
_SECONDS_PER_TRIAL = 1.0  # regardless of its epochs
_SHARE = 0.4  # epochs of a trial, as a fraction of those of the final training run
_FIRST_RUNG_STEPS = 150
_REDUCTION = 3
_ROOM = 8  # maximum cost of a candidate, as a multiple of the baseline's
_DEEP = 4  # number of blocks from which doubling the filters in each one would cost many times the baseline
_SMALLEST_FOR_5, _LARGEST_FOR_5 = (
    12,
    48,
)  # shortest side from which larger kernels fit, and up to which they are affordable


def study_epochs(survey: Survey) -> tuple[int, int]:
    """Return the epochs of the last and of the first rung."""
    fewest = math.ceil(_FIRST_RUNG_STEPS / math.ceil(split_sizes(survey)["train"] / _batch(survey)))
    last = max(3, fewest, round(_SHARE * epochs(survey)))
    wanted = min(_TRIALS, _most_trials(survey)) if survey.time.demanded else _MIN_TRIALS
    while last > max(3, fewest) and _affordable_trials(survey, last, _first_rung(last, fewest)) < wanted:
        last -= 1
    return last, _first_rung(last, fewest)


def _first_rung(last: int, fewest: int) -> int:
    return min(last, max(math.ceil(last / _REDUCTION), fewest))


def _trial_seconds(survey: Survey, last: int, first: int) -> float:
    """Mean seconds per trial: every trial trains the first rung, and about one of `_REDUCTION` the rest."""
    return _SECONDS_PER_TRIAL + _CANDIDATE * (first + (last - first) / _REDUCTION) * epoch_seconds(survey)


def _finalist_seconds(survey: Survey, last: int) -> float:
    """Seconds for the trainings of the finalists and the baseline with other seeds."""
    count = _finalists(survey)
    return (count + 1) * _SEEDS * (_SECONDS_PER_TRIAL + _CANDIDATE * last * epoch_seconds(survey)) if count else 0.0


def _affordable_trials(survey: Survey, last: int, first: int) -> int:
    seconds = survey.time.study_seconds - _finalist_seconds(survey, last)
    return int(seconds / _trial_seconds(survey, last, first))


def trials(survey: Survey) -> int:
    """Return a number of trials that fits the time, but not fewer than the minimum.

    It is limited, since few validation inputs cannot distinguish many trials.
    """
    return max(_MIN_TRIALS, min(_most_trials(survey), _affordable_trials(survey, *study_epochs(survey))))


def _most_trials(survey: Survey) -> int:
    return _MAX_TRIALS if split_sizes(survey)["val"] < _NOISY else _MANY_TRIALS


def planned_seconds(survey: Survey) -> float:
    """Approximate seconds of all training runs: the study, and the final ones of the winner and the baseline."""
    last, first = study_epochs(survey)
    study = trials(survey) * _trial_seconds(survey, last, first) + _finalist_seconds(survey, last)
    return study / survey.time.study_speedup + (1 + _CANDIDATE) * epochs(survey) * epoch_seconds(survey)


def _finalists(survey: Survey) -> int:
    return _FINALISTS if split_sizes(survey)["val"] < _NOISY else 0


def _batch(survey: Survey) -> int:
    return batch_size(split_sizes(survey)["train"])


def study_choices(survey: Survey) -> list[Recommendation]:
    """Return the choices for the section `search`, except engine and storage."""
    last, first = study_epochs(survey)
    count, val = trials(survey), split_sizes(survey)["val"]
    per_epoch = math.ceil(split_sizes(survey)["train"] / _batch(survey))
    return [
        Recommendation("search.trials", count, _trials_reason(survey, val)),
        Recommendation("search.epochs", last, f"{last * per_epoch:,} steps, with a separate learning rate schedule."),
        Recommendation("search.min_epochs", first, f"{first * per_epoch:,} steps, enough for candidates to differ."),
        Recommendation("search.min_steps", _FIRST_RUNG_STEPS, "Fewer steps rarely separate good from bad networks."),
        Recommendation("search.reduction_factor", _REDUCTION),
        Recommendation("search.fidelity", "epochs"),
        Recommendation("search.objectives", ["val_accuracy"]),
        _startup(count),
        Recommendation("search.startup", "near_best", "The baseline is a good starting point."),
        Recommendation("search.pruner", "successive_halving", "Every trial can be pruned at the first rung."),
        _finalist_choice(survey),
        Recommendation("search.finalists.seeds", _SEEDS),
        _folds_choice(survey),
        Recommendation("search.enqueue", []),
        *_budget(survey),
        Recommendation(
            "search.space",
            space(survey),
            "Values around the baseline, so that every candidate is a reasonable network.",
        ),
    ]


def _budget(survey: Survey) -> list[Recommendation]:
    """Limit the cost of candidates, so that the final training run of any winner fits the time."""
    found, time = baseline(survey).geometry, survey.time
    affordable = WINNER * time.final_seconds / (epochs(survey) * epoch_seconds(survey))
    room = max(WINNER, min(_ROOM, affordable))
    return [
        Recommendation(
            "search.budget.max_params", _rounded(_ROOM * found.params), f"{_ROOM} times the parameters of the baseline."
        ),
        Recommendation(
            "search.budget.max_macs",
            _rounded(room * found.macs),
            f"{room:.2g} times the baseline's multiply-accumulates.",
        ),
    ]


def _rounded(number: float) -> int:
    """Round up to two significant digits."""
    scale = 10 ** max(0, int(math.log10(number)) - 1)
    return int(math.ceil(number / scale) * scale)


def _startup(trials: int) -> Recommendation:
    if trials <= _STARTUP:
        return Recommendation(
            "search.startup_trials", trials, "All trials: they are too few for a sampler to learn from."
        )
    return Recommendation("search.startup_trials", _STARTUP, "Enough results for the sampler to learn from.")


def _finalist_choice(survey: Survey) -> Recommendation:
    val, count = split_sizes(survey)["val"], _finalists(survey)
    why = "the best trial may be the best by chance" if count else "further training runs are not worth their time"
    return Recommendation("search.finalists.count", count, f"With {val:,} validation {survey.inputs[1]}, {why}.")


def _folds_choice(survey: Survey) -> Recommendation:
    if "val" in survey.counts:
        why = (
            f"The source has a validation split of its own, which may differ from the training {survey.inputs[1]} on "
            "purpose."
        )
        return Recommendation("search.finalists.cross_validation", False, why)
    few, many = _finalists(survey) > 0, survey.inputs[1]
    why = (
        f"With few validation {many}, one split says little; each fold validates on other {many}."
        if few
        else f"With many validation {many}, one split says enough."
    )
    return Recommendation("search.finalists.cross_validation", few, why)


def _trials_reason(survey: Survey, val: int) -> str:
    if val < FEW:
        return (
            f"With only {val} validation {survey.inputs[1]}, chance decides between good candidates; more trials would "
            "not help."
        )
    if _affordable_trials(survey, *study_epochs(survey)) < _MIN_TRIALS:
        return "The minimum number of trials; `fovea plan` estimates the time."
    return "`fovea plan` estimates the time on this machine."


def space(survey: Survey) -> dict[str, Any]:
    """Return the search space for inputs of this size."""
    model = baseline(survey).model
    blocks, filters = len(model.blocks), model.blocks[0].filters
    found: dict[str, Any] = {
        "blocks": {"low": max(1, blocks - 1), "high": blocks},
        "filters": sorted({filters, filters * 2}),
        "filter_growth": [1, 2] if blocks < _DEEP else [1, 1.5],
        "convs": {"low": 1, "high": model.blocks[0].convs + 1},
        "kernel_size": _kernel_sizes(survey),
        "pooling": ["max", "average"],
        "dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
        "activation": ["relu", "silu"],
        "residual": [False, True],
        "head": ["flatten", "global_average"],
        "head_dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
        "augmentation": [0.0, 0.5, 1.0],
        "learning_rate": {"low": 0.001, "high": 0.01, "log": True},
    }
    return {key: values for key, values in found.items() if values}


def _kernel_sizes(survey: Survey) -> list[int]:
    """Kernel sizes around the baseline's; none if only that is possible or affordable."""
    shortest, rules = min(grid_of(survey)), KIND_RULES[survey.kind]
    affordable = survey.kind == "series" or shortest <= _LARGEST_FOR_5
    return list(rules.kernel_sizes) if shortest >= _SMALLEST_FOR_5 and affordable else []


def evaluation_choices(survey: Survey, name: str) -> list[Recommendation]:
    """Return the choices for the sections `evaluate` and `register` that depend on the data."""
    top = max(1, min(3, len(survey.classes) - 1))
    return [
        Recommendation("evaluate.top_k", top, f"The dataset has {len(survey.classes)} classes."),
        Recommendation("register.name", re.sub(r"[^A-Za-z0-9_. -]+", "-", name).lstrip("_. -") or "fovea"),
        Recommendation(
            "register.gate",
            [],
            "Without rules, a network becomes champion if the lower bound of the interval of its accuracy is above the "
            "share of the largest class.",
        ),
    ]
