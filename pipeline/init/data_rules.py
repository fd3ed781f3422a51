"""Rules for the section `data`: splits of any source, colour mode and size of images."""

import math
from collections.abc import Sequence

from pipeline.errors import plural, shown_first
from pipeline.sections.data import ignored_settings
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey

# Share of coloured files below which they are treated as exceptions among grey files.
_STRAY_COLOUR = 0.01
# (largest number of images, side): the input of the network is at most side × side, which a network of a few million
# multiply-accumulates can process.
_SIDES = ((3_000, 96), (30_000, 64), (None, 48))
# Split sizes that measure accuracy to about ±1.5 points (95%, at 90% accuracy); larger datasets need only a smaller
# fraction.
_ENOUGH_TEST, _ENOUGH_VAL = 1_500, 1_000
_TEST_SHARES, _VAL_SHARES = (0.1, 0.2, 0.25), (0.1, 0.15, 0.25)  # for many images, a few thousand, fewer
MIN_PER_CLASS = 2  # samples of each class in each split, which `prepare` requires
_WIDE_SPREAD = 1.5  # ratio of two aspect ratios from which `init` mentions that stretching distorts
FEW = 100  # with fewer samples, one changes the accuracy by more than 1%


def grid_of(survey: Survey) -> tuple[int, ...]:
    """Extent of each grid axis of the network's input.

    Image files up to a size are kept. Larger ones are scaled down to multiples of 8, with the aspect ratio kept.
    """
    side = next(side for most, side in _SIDES if most is None or survey.total <= most)
    if survey.kind != "image" or not survey.from_files or math.prod(survey.grid) <= side * side:
        return survey.grid
    height, width = survey.grid
    scale = side / math.sqrt(height * width)
    return _eights(height * scale), _eights(width * scale)


def _eights(extent: float) -> int:
    return max(8, 8 * round(extent / 8))


def channels_of(survey: Survey) -> int:
    """Number of channels of the network's input."""
    if survey.kind == "image" and survey.from_files:
        return 3 if survey.coloured > _STRAY_COLOUR else 1
    return survey.channels


def data_choices(survey: Survey) -> list[Recommendation]:
    """Return the choices for the section `data`, except `data.xo`, which defines generated images."""
    choices = [
        Recommendation("data.source", survey.source, _counted(survey)),
        Recommendation("data.kind", "auto"),
        Recommendation("data.channels", "auto"),
        *(Recommendation(f"data.{name}", value) for name, value in ignored_settings(survey.source).items()),
        *(_image_choices(survey) if survey.kind == "image" else ()),
        Recommendation("data.value_range", survey.value_range and list(survey.value_range), _range_reason(survey)),
        *survey.settings,
    ]
    test, val = split_fractions(survey)
    choices += [
        Recommendation("data.val_fraction", val, _split_reason(survey, "val", test, val)),
        Recommendation("data.test_fraction", test, _split_reason(survey, "test", test, val)),
        Recommendation("data.limit", None),
    ]
    if survey.from_files:
        choices.append(Recommendation("data.on_unreadable", "skip", _unreadable_reason(survey)))
    return choices


def _image_choices(survey: Survey) -> list[Recommendation]:
    return [
        Recommendation("data.color_mode", "rgb" if channels_of(survey) == 3 else "grayscale", _colour_reason(survey)),
        Recommendation("data.image_size", list(grid_of(survey)) if survey.from_files else None, _size_reason(survey)),
    ]


def split_fractions(survey: Survey) -> tuple[float, float]:
    """Return `test_fraction` and `val_fraction`, large enough to distinguish candidates.

    Many samples need a smaller share for the same certainty; many classes need a larger one.
    """
    samples, classes = sum(survey.independent["train"]), len(survey.classes)
    test = _share(samples, classes, _ENOUGH_TEST, _TEST_SHARES)
    if "test" not in survey.counts:
        samples = round(samples * (1 - test))
    return test, _share(samples, classes, _ENOUGH_VAL, _VAL_SHARES)


def _share(samples: int, classes: int, enough: int, shares: Sequence[float]) -> float:
    many, some, few = shares
    share = few if samples < 2_000 else max(many, some) if samples * many < enough else many
    return min(0.5, max(share, math.ceil(100 * MIN_PER_CLASS * classes / samples) / 100))


def split_sizes(survey: Survey) -> dict[str, int]:
    """Approximate size of each split after `prepare`, which adds samples of rare classes to splits that it cuts off."""
    given = {split: sum(counts) for split, counts in survey.counts.items()}
    test_fraction, val_fraction = split_fractions(survey)
    train = given["train"]
    test = given.get("test", math.ceil(train * test_fraction))
    train -= 0 if "test" in given else test
    val = given.get("val", math.ceil(train * val_fraction))
    train -= 0 if "val" in given else val
    return {"train": train, "val": val, "test": test}


def half_width(samples: int, accuracy: float = 0.9) -> float:
    """Half the width of the 95% interval of an accuracy on `samples` samples, by the normal approximation."""
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / samples)


def independent_of(survey: Survey, split: str) -> int:
    """Approximate number of samples in a split. The inputs of one sample are alike, so they count as one."""
    every = sum(map(sum, survey.independent.values()))
    return max(1, round(split_sizes(survey)[split] * every / survey.total))


def _split_reason(survey: Survey, split: str, test: float, val: float) -> str:
    count, (one, many) = split_sizes(survey)[split], survey.inputs
    precision = (
        f"{count:,} {many}: one {one} changes the accuracy by {100 / count:.2g} percentage points; at 90% accuracy "
        f"the 95% interval is ±{100 * half_width(independent_of(survey, split)):.2g} points"
    )
    if split in survey.counts:
        return f"Unused, since the source has a {split} split of its own. {precision[0].upper()}{precision[1:]}."
    few = ", so smaller differences between candidates are not significant" if split == "val" else ""
    return f"{precision}{few}."


def _counted(survey: Survey) -> str:
    smallest, largest = min(survey.counts["train"]), max(survey.counts["train"])
    each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
    parts = "" if len(survey.counts) == 1 else " in train"
    about = "" if survey.samples is None else f", from {sum(map(sum, survey.samples.values())):,} files"
    return f"{survey.total:,} {survey.inputs[1]}{about} of {len(survey.classes)} classes, {each} of each{parts}."


def _colour_reason(survey: Survey) -> str:
    if not survey.from_files:
        return f"Unused: the arrays have {survey.channels} {plural(survey.channels, 'channel')}."
    seen = f"{survey.inspected:,} inspected files"
    if not survey.coloured:
        return f"None of the {seen} contains colours, so one channel is enough."
    coloured = round(survey.coloured * survey.inspected)
    found = f"{coloured:,} of the {seen} contain{'s' * (coloured == 1)} colours"
    return f"{found}; too few for rgb." if channels_of(survey) == 1 else f"{found}."


def _size_reason(survey: Survey) -> str:
    if not survey.from_files:
        return f"Unused: the arrays are already {extents(survey.grid)}."
    found = "All images are" if survey.sizes == 1 else "The median size is"
    low, high = survey.aspects
    aspects = ""
    if high / low >= _WIDE_SPREAD:
        aspects = f" Width by height is from {low:.2g} to {high:.2g}; data.resize: pad or crop would keep this ratio."
    if grid_of(survey) == survey.grid:
        return f"{found} {extents(survey.grid)}, which is small enough to keep.{aspects}"
    return (
        f"{found} {extents(survey.grid)}; scaled down with the aspect ratio kept, so that a study takes minutes, "
        f"not hours.{aspects}"
    )


def extents(grid: Sequence[int]) -> str:
    """The extent of each axis, for messages."""
    return "×".join(map(str, grid)) if len(grid) > 1 else f"{grid[0]} time steps"


def _range_reason(survey: Survey) -> str:
    found = survey.sixteen_bit
    if found is None:
        return ""
    if survey.declared:
        return (
            f"{found.files:,} files with floating-point or 32-bit values use {found.least:,} to {found.greatest:,}; "
            "the range is that of the previous file."
        )
    end = "; the full 16-bit range would leave few grey levels" if survey.value_range else ""
    return f"{found.files:,} files with 16 bits per value use {found.least:,} to {found.greatest:,}{end}."


def unreadable_in_words(survey: Survey) -> str:
    """Count and list the opened files that cannot be read."""
    listed = shown_first(survey.unreadable)
    return f"{len(survey.unreadable)} of {survey.opened:,} inspected files cannot be read: {listed}"


def _unreadable_reason(survey: Survey) -> str:
    if survey.unreadable:
        return f"{unreadable_in_words(survey)}."
    return "Damaged files are skipped and listed; they do not stop the run."
