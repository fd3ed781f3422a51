"""Check samples and labels before anything is trained on them."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.data.kind import KINDS
from pipeline.errors import UserError, shown_first
from pipeline.sources.source import Source

MIN_PER_CLASS = 2


def check_source(source: Source) -> None:
    """Check that later stages can use the samples.

    Raises:
        UserError: A rule is violated. The message names the split, the rule and the value.
    """
    words = KINDS[source.kind]
    shapes = {images.shape[1:] for images, _ in source.parts.values()}
    for split, (images, labels) in source.parts.items():
        where = f"data.source: {source.name}: {split}"
        if len(images.shape) != words.rank + 2 or 0 in images.shape[1:]:
            raise UserError(f"{where}: {words.many} must have shape {words.shape}, got {images.shape}; reshape them")
        if len(images) != len(labels):
            raise UserError(
                f"{where}: must have one label per sample, got {len(images)} samples, {len(labels)} labels; "
                "add or remove labels"
            )
        if not len(images):
            raise UserError(f"{where}: must contain samples, got none; add some, or remove the split")
        outside = np.flatnonzero((labels < 0) | (labels >= len(source.classes)))
        if len(outside):
            more = f" (and {len(outside) - 1} more)" if len(outside) > 1 else ""
            raise UserError(
                f"{where}: labels must be from 0 to {len(source.classes) - 1}, got {labels[outside[0]]} "
                f"at index {outside[0]}{more}; correct the labels, or add the names of the missing classes"
            )
    if len(shapes) > 1:
        raise UserError(
            f"data.source: {source.name}: all splits must have the same shape of samples, got {sorted(shapes)}; "
            "resize the samples of one split"
        )
    if len({images.dtype for images, _ in source.parts.values()}) > 1:
        types = ", ".join(f"{images.dtype} in {split}" for split, (images, _) in source.parts.items())
        raise UserError(
            f"data.source: {source.name}: all splits must have the same dtype, got {types}; convert one of them"
        )
    if len(source.classes) < 2:
        raise UserError(
            f"data.source: {source.name}: must have at least two classes, got {list(source.classes)}; add samples of "
            "another class"
        )
    twice = [repr(name) for name, times in Counter(source.classes).items() if times > 1]
    if twice:
        raise UserError(
            f"data.source: {source.name}: class names must be unique, got {shown_first(twice)} more than once; "
            "rename them"
        )


def check_enough(
    name: str, labels: NDArray[np.int64], classes: tuple[str, ...], splits: int, limit: int | None
) -> None:
    """Raise an error if a class has too few samples to be distributed over the splits.

    Raises:
        UserError: A class has too few samples. The message lists all such classes.
    """
    least = MIN_PER_CLASS * splits
    few = [
        f"{classes[label]!r} has {count}"
        for label, count in enumerate(np.bincount(labels, minlength=len(classes)))
        if count < least
    ]
    if few:
        raise UserError(
            f"data.source: {name}: each class must have at least {least} samples to be distributed over {splits} "
            f"splits, but {shown_first(few, '; ')}; {_more(limit)}"
        )


def check_counts(
    name: str, labels: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...], limit: int | None
) -> None:
    """Raise an error if a class has too few samples in a split.

    Raises:
        UserError: A class has too few samples. The message lists all such classes with their splits.
    """
    few = [
        f"{classes[label]!r} has {count} in {split}"
        for split, present in labels.items()
        for label, count in enumerate(np.bincount(present, minlength=len(classes)))
        if count < MIN_PER_CLASS
    ]
    if few:
        raise UserError(
            f"data.source: {name}: each class must have at least {MIN_PER_CLASS} samples in each split, but "
            f"{shown_first(few, '; ')}; {_more(limit)}, or change data.val_fraction and data.test_fraction"
        )


def _more(limit: int | None) -> str:
    """Advice on how to get more samples of a class."""
    return "add samples or remove the class" + ("" if limit is None else f", or increase data.limit, which is {limit}")


def check_finite(name: str, split: str, names: Sequence[str], not_finite: Sequence[int]) -> None:
    """Raise an error if samples contain NaN or infinity.

    Args:
        name: Name of the source.
        split: The split.
        names: Names of the samples of the split.
        not_finite: Indices of the samples that contain NaN or infinity.

    Raises:
        UserError: There are such samples. The message lists some of them.
    """
    if not_finite:
        raise UserError(
            f"data.source: {name}: {split}: values must be finite, got NaN or infinity in {len(not_finite)} of "
            f"{len(names)} samples ({shown_first([names[place] for place in not_finite])}); replace the values, or "
            "remove the samples"
        )
