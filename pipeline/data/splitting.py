"""Stratified, seeded, disjoint splits."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.checks import check_counts, check_enough
from pipeline.data.source import Part, Source
from pipeline.params.sections import DataParams
from pipeline.terminal import UserError


def split_source(source: Source, params: DataParams, seed: int) -> dict[str, Part]:
    """The three splits of a source. What it gives is kept; what is missing is cut from its training images.

    `test_fraction` is a share of all images, `val_fraction` a share of the training images.

    Raises:
        UserError: a class has too few images for a split.
    """
    parts = dict(source.parts)
    if params.limit is not None:
        parts = {
            split: _limited(part, params.limit, _seed(seed, number))
            for number, (split, part) in enumerate(parts.items())
        }
    missing = [split for split in ("test", "val") if split not in parts]
    check_enough(source.name, parts["train"], source.classes, 1 + len(missing), params.limit)
    if "test" not in parts:
        parts["train"], parts["test"] = _cut(source, parts["train"], params.test_fraction, "test", _seed(seed, 11))
    if "val" not in parts:
        parts["train"], parts["val"] = _cut(source, parts["train"], params.val_fraction, "val", _seed(seed, 12))
    ordered = {split: parts[split] for split in ("train", "val", "test")}
    check_counts(source.name, ordered, source.classes, params.limit)
    return ordered


def _cut(source: Source, part: Part, fraction: float, split: str, seed: int) -> tuple[Part, Part]:
    """Cut a share of each class off a part."""
    from sklearn.model_selection import train_test_split

    labels = part[1]
    try:
        kept, cut = train_test_split(np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise UserError(
            f"data.source: {source.name}: {len(labels)} images of {len(source.classes)} classes are too few to cut off "
            f"a {split} split of {fraction}: {error}; add images, or change data.{split}_fraction"
        ) from None
    return _taken(part, np.sort(kept)), _taken(part, np.sort(cut))


def _limited(part: Part, limit: int, seed: int) -> Part:
    """At most `limit` images of a part, with each class's share as before, rounded."""
    from sklearn.model_selection import train_test_split

    labels = part[1]
    if limit >= len(labels):
        return part
    if limit < len(np.unique(labels)) or len(labels) - limit < len(np.unique(labels)):
        chosen = np.random.default_rng(seed).permutation(len(labels))[:limit]
    else:
        chosen, _ = train_test_split(np.arange(len(labels)), train_size=limit, random_state=seed, stratify=labels)
    return _taken(part, np.sort(chosen))


def _taken(part: Part, places: NDArray[np.int64]) -> Part:
    return part[0][places], part[1][places]


def _seed(seed: int, purpose: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(purpose,)).generate_state(1)[0])
