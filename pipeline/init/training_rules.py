"""Rules for the section `training`: number of steps, and augmentation that keeps the class."""

import math

from pipeline.init.data_rules import grid_of, split_sizes
from pipeline.init.kind_rules import KIND_RULES, MIRROR_ADVICE
from pipeline.init.network_rules import baseline
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey

_STEPS = 1_200  # steps that a small network needs to get near its best accuracy
_MIN_EPOCHS, _MAX_EPOCHS = 8, 120
# On 506 generated shapes of 64×64, 640 steps of 32 images reached a validation accuracy of 0.80, 1,216 steps of 16
# reached 0.75: batch normalization needs the larger batch.
_MIN_BATCH, _MAX_BATCH = 16, 64
_BATCHES_PER_EPOCH = 16
# On generated shapes of 64×64, one training run each: validation accuracy 0.80 with flips only, 0.51 with half of the
# amounts.
_NO_STRENGTH = "Off in the baseline; the study also tries half and all of the amounts below."
_IMBALANCED = 3.0  # ratio of the largest to the smallest class from which classes are weighted
_SMALL_GRID = 16 * 16  # positions


def batch_size(inputs: int) -> int:
    """Return a power of two with about 16 steps per epoch: small datasets need small batches for enough steps."""
    return max(_MIN_BATCH, min(_MAX_BATCH, 1 << max(0, round(math.log2(max(1, inputs) / _BATCHES_PER_EPOCH)))))


def epochs(survey: Survey) -> int:
    """Return a number of epochs with enough steps that fits the time; if the user demanded the time, as many as fit."""
    inputs = split_sizes(survey)["train"]
    wanted = _MAX_EPOCHS if survey.time.demanded else math.ceil(_STEPS * batch_size(inputs) / inputs)
    return max(_MIN_EPOCHS, min(wanted, int(survey.time.final_seconds / epoch_seconds(survey)), _MAX_EPOCHS))


def epoch_seconds(survey: Survey) -> float:
    """Approximate seconds per epoch of the baseline."""
    return split_sizes(survey)["train"] * survey.time.seconds_per_image(baseline(survey).geometry.macs)


def training_choices(survey: Survey) -> list[Recommendation]:
    """Return the choices for the section `training`, except `threads` and `seed`."""
    inputs, many = split_sizes(survey)["train"], survey.inputs[1]
    batch, passes = batch_size(inputs), epochs(survey)
    steps = passes * math.ceil(inputs / batch)
    return [
        Recommendation("training.epochs", passes, f"{steps:,} steps on {inputs:,} {many}. {_enough(survey, steps)}"),
        Recommendation("training.batch_size", batch, f"{math.ceil(inputs / batch)} steps per epoch."),
        Recommendation("training.optimizer", "adam", "Less sensitive to the learning rate than SGD."),
        Recommendation(
            "training.learning_rate", 0.003, "Fairly high; batch normalization and the decay keep training stable."
        ),
        Recommendation("training.schedule", "cosine"),
        Recommendation("training.weight_decay", 0.0),
        Recommendation("training.loss", "cross_entropy"),
        Recommendation(
            "training.average_weights", True, "Evens out the last steps, above all while the learning rate is high."
        ),
        Recommendation("training.first_layer", *KIND_RULES[survey.kind].first_layer),
        Recommendation("training.label_smoothing", 0.0),
        _class_weight(survey),
        Recommendation(
            "training.patience", None, "The learning rate decays to 0 by the last epoch; an early stop would skip that."
        ),
        Recommendation("training.precision", "auto"),
        _threads(survey),
        *augmentation_choices(survey),
    ]


def _threads(survey: Survey) -> Recommendation:
    if math.prod(grid_of(survey)) < _SMALL_GRID:
        return Recommendation(
            "training.threads", 1, f"Networks for {survey.inputs[1]} this small are faster with one thread."
        )
    return Recommendation("training.threads", 2)


def _enough(survey: Survey, steps: int) -> str:
    if survey.time.demanded:
        return f"As many as fit the time, from {_MIN_EPOCHS} to {_MAX_EPOCHS}."
    if steps >= _STEPS * 0.9:
        return f"Small networks get close to their best accuracy within about {_STEPS:,} steps."
    return f"More would take too long, or repeat a small number of {survey.inputs[1]} too often."


def _class_weight(survey: Survey) -> Recommendation:
    smallest, largest = min(survey.counts["train"]), max(survey.counts["train"])
    if largest >= _IMBALANCED * smallest:
        return Recommendation(
            "training.class_weight",
            "balanced",
            f"The largest class has {largest / smallest:.1f} times as many {survey.inputs[1]} as the smallest.",
        )
    return Recommendation(
        "training.class_weight",
        "none",
        f"The largest class has less than {_IMBALANCED:g} times as many {survey.inputs[1]} as the smallest.",
    )


def augmentation_choices(survey: Survey) -> list[Recommendation]:
    """Return the choices for `training.augmentation`: flips only if they keep the class; the study tries the rest."""
    (flip, reason), rules = _flip(survey), KIND_RULES[survey.kind]
    return [
        Recommendation("training.augmentation.strength", 0.0, _NO_STRENGTH),
        Recommendation("training.augmentation.flip", flip, reason),
        Recommendation(
            "training.augmentation.shift",
            0.1,
            f"For candidates with strength above 0: small changes keep the class of almost any {survey.inputs[0]}.",
        ),
        Recommendation("training.augmentation.rotate", rules.rotate),
        Recommendation("training.augmentation.zoom", 0.1),
        Recommendation("training.augmentation.noise", rules.noise),
    ]


def _flip(survey: Survey) -> tuple[str, str]:
    """Return the flips that keep the class, and the reason; none if it could not be measured."""
    if not survey.mirrored:
        return "none", KIND_RULES[survey.kind].flip
    mirrored = ", ".join(f"{test.mirrored:.0%} with {axis} ones" for axis, test in survey.mirrored.items())
    first = next(iter(survey.mirrored.values()))
    measured = (
        f"Accuracy of a simple classifier on {first.asked} images: {first.accuracy:.0%} if trained without mirror "
        f"images, {mirrored}"
    )
    if not first.conclusive:
        low = "this accuracy is too low to conclude that mirror images keep their class"
        return "none", f"{measured}; {low}; {MIRROR_ADVICE}"
    safe = [axis for axis, test in survey.mirrored.items() if test.keeps_class]
    flip = "both" if len(safe) == 2 else safe[0] if safe else "none"
    return flip, f"{measured}."
