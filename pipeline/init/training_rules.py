"""Rules for the section `training`: number of steps, and augmentation that keeps the class."""

import math

from pipeline.init.choice import Choice
from pipeline.init.data_rules import split_sizes
from pipeline.init.network_rules import baseline
from pipeline.init.survey import Survey

# Rough speed of two cores with AVX2 at small batches. It limits epochs and trials only.
_MACS_PER_SECOND, _SECONDS_PER_IMAGE, _PASSES = 10e9, 3e-5, 3
_SECONDS = 120.0  # approximate time of one final training
_STEPS = 1_200  # steps that a small network needs to get near its best accuracy
_LEAST_EPOCHS, _MOST_EPOCHS = 8, 120
# On 506 drawn shapes of 64×64, 640 steps of 32 images reached a validation accuracy of 0.80, 1,216 steps of 16 reached
# 0.75: batch normalization needs the larger batch.
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 64
_BATCHES_PER_EPOCH = 16
# On drawn shapes of 64×64, one training each: validation accuracy 0.80 with flips only, 0.51 with half of the amounts.
_NO_STRENGTH = "Off in the baseline; the study tries half and all of the amounts below."
_IMBALANCED = 3.0  # ratio of the largest to the smallest class from which classes are weighted


def seconds_per_image(survey: Survey) -> float:
    """Approximate seconds per training image and epoch of the baseline."""
    return _PASSES * baseline(survey).geometry.macs / _MACS_PER_SECOND + _SECONDS_PER_IMAGE


def batch_size(images: int) -> int:
    """Return a power of two with about 16 steps per epoch: small datasets need small batches for enough steps."""
    return max(_SMALLEST_BATCH, min(_LARGEST_BATCH, 1 << max(0, round(math.log2(max(1, images) / _BATCHES_PER_EPOCH)))))


def epochs(survey: Survey) -> int:
    """Return a number of epochs with enough steps, limited to about two minutes of training."""
    images = split_sizes(survey)["train"]
    wanted = math.ceil(_STEPS * batch_size(images) / images)
    affordable = int(_SECONDS / (images * seconds_per_image(survey)))
    return max(_LEAST_EPOCHS, min(wanted, affordable, _MOST_EPOCHS))


def training_choices(survey: Survey) -> list[Choice]:
    """Return the choices for the section `training`, except `threads` and `seed`."""
    images = split_sizes(survey)["train"]
    batch, passes = batch_size(images), epochs(survey)
    steps = passes * math.ceil(images / batch)
    return [
        Choice("training.epochs", passes, f"{steps:,} steps on {images:,} images. {_enough(steps)}"),
        Choice("training.batch_size", batch, f"{math.ceil(images / batch)} steps per epoch."),
        Choice("training.optimizer", "adam", "The optimizer that is least sensitive to the learning rate."),
        Choice("training.learning_rate", 0.003, "High, which batch normalization and a decaying learning rate allow."),
        Choice("training.schedule", "cosine"),
        Choice("training.weight_decay", 0.0),
        Choice("training.loss", "cross_entropy"),
        Choice("training.label_smoothing", 0.0),
        _class_weight(survey),
        Choice(
            "training.patience", None, "The learning rate decays to 0 by the last epoch; an early stop would skip that."
        ),
        Choice("training.precision", "float32"),
        *augmentation_choices(survey),
    ]


def _enough(steps: int) -> str:
    if steps >= _STEPS * 0.9:
        return f"Small networks get close to their best accuracy within about {_STEPS:,} steps."
    return "More would take over two minutes on two cores, or repeat a small number of images too often."


def _class_weight(survey: Survey) -> Choice:
    smallest, largest = min(survey.counts["train"]), max(survey.counts["train"])
    if largest >= _IMBALANCED * smallest:
        return Choice(
            "training.class_weight",
            "balanced",
            f"The largest class has {largest / smallest:.1f} times as many images as the smallest.",
        )
    return Choice("training.class_weight", "none", "All classes have a similar size.")


def augmentation_choices(survey: Survey) -> list[Choice]:
    """Return the choices for `training.augmentation`: flips only if they keep the class; the study tries the rest."""
    flip, reason = _flip(survey)
    return [
        Choice("training.augmentation.strength", 0.0, _NO_STRENGTH),
        Choice("training.augmentation.flip", flip, reason),
        Choice(
            "training.augmentation.shift",
            0.1,
            "For candidates with strength above 0: small changes keep the class of almost any image.",
        ),
        Choice("training.augmentation.rotate", 10.0),
        Choice("training.augmentation.zoom", 0.1),
        Choice("training.augmentation.noise", 0.0),
    ]


def _flip(survey: Survey) -> tuple[str, str]:
    """Return the flips that keep the class, and the reason; none if it could not be measured."""
    advice = "set horizontal if mirror images of your data keep their class, which often helps."
    if not survey.mirrored:
        return "none", f"Too few images to measure whether mirror images keep their class; {advice}"
    mirrored = ", ".join(f"{test.mirrored:.0%} mirrored {axis}ly" for axis, test in survey.mirrored.items())
    first = next(iter(survey.mirrored.values()))
    measured = f"A simple classifier recognises {first.accuracy:.0%} of {first.asked} original images, {mirrored}"
    if not first.telling:
        return "none", f"{measured}; too few to conclude that mirror images keep their class; {advice}"
    safe = [axis for axis, test in survey.mirrored.items() if test.keeps_class]
    flip = "both" if len(safe) == 2 else safe[0] if safe else "none"
    return flip, f"{measured}."
