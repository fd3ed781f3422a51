"""Stratified, seeded, disjoint splits. Images of one group are in the same split."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Part, Rows, SelectedRows
from pipeline.errors import UserError
from pipeline.sections import DataParams
from pipeline.sources.checks import MIN_PER_CLASS, check_counts, check_enough
from pipeline.sources.source import Source


@dataclass(frozen=True)
class Share:
    """The images of a source that form a split.

    Attributes:
        source: The source of the images.
        origin: Name of the source's part that contains the images.
        places: (n,) indices of the images in that part, ascending.
    """

    source: Source
    origin: str
    places: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class indices."""
        return self.source.parts[self.origin][1][self.places]

    @property
    def part(self) -> Part:
        """Images (n, height, width, channels) and labels (n,)."""
        images, labels = self.source.parts[self.origin]
        if len(self.places) == len(labels):
            return images, labels
        return SelectedRows(images, self.places), labels[self.places]

    @property
    def names(self) -> tuple[str, ...]:
        """(n,) names of the images: the file, relative to the source, or the number in the source."""
        names = self.source.names.get(self.origin)
        called = self.origin if len(self.source.parts) > 1 else "image"  # else test images would be named train
        return tuple(f"{called} {place}" if names is None else names[place] for place in self.places.tolist())

    @property
    def groups(self) -> tuple[str, ...]:
        """(n,) groups of the images; empty if the source has no groups."""
        groups = self.source.groups.get(self.origin)
        return () if groups is None else tuple(groups[place] for place in self.places.tolist())

    @property
    def weights(self) -> NDArray[np.float32] | None:
        """(n,) positive weights of the images in the training loss; None if the source has none."""
        weights = self.source.weights.get(self.origin)
        return None if weights is None else np.asarray(weights, np.float32)[self.places]

    @property
    def recordings(self) -> Rows | None:
        """(n, samples) sound of the spectrograms; None if the source has none."""
        recordings = self.source.recordings.get(self.origin)
        return None if recordings is None else SelectedRows(recordings, self.places)

    def among(self, chosen: NDArray[np.int64]) -> "Share":
        """Select some of these images by their indices among them."""
        return Share(self.source, self.origin, self.places[np.sort(chosen)])


def split_source(source: Source, params: DataParams, seed: int) -> dict[str, Share]:
    """Create the train, val and test splits of a source. Missing splits are cut from its training images.

    `test_fraction` is a share of all images, `val_fraction` a share of the training images. Each split gets at least
    MIN_PER_CLASS images of each class. If the source has groups, the images of a group are in one split, and the
    fractions hold as closely as the groups allow.

    Raises:
        UserError: A class has too few images or groups for a split.
    """
    shares = {split: Share(source, split, np.arange(len(labels))) for split, (_, labels) in source.parts.items()}
    if params.limit is not None:
        shares = {
            split: _limited(share, params.limit, _seed(seed, number))
            for number, (split, share) in enumerate(shares.items())
        }
    missing = [split for split in ("test", "val") if split not in shares]
    check_enough(source.name, shares["train"].labels, source.classes, 1 + len(missing), params.limit)
    if "test" not in shares:
        shares["train"], shares["test"] = _cut(shares["train"], params.test_fraction, "test", _seed(seed, 11))
    if "val" not in shares:
        shares["train"], shares["val"] = _cut(shares["train"], params.val_fraction, "val", _seed(seed, 12))
    ordered = {split: shares[split] for split in ("train", "val", "test")}
    labels = {split: share.labels for split, share in ordered.items()}
    check_counts(source.name, labels, source.classes, params.limit)
    return ordered


def _cut(share: Share, fraction: float, split: str, seed: int) -> tuple[Share, Share]:
    """Cut off a fraction of each class, with at least MIN_PER_CLASS images of rare classes."""
    from sklearn.model_selection import train_test_split

    source, labels = share.source, share.labels
    if share.groups:
        return _cut_groups(share, fraction, split, seed)
    try:
        kept, cut = train_test_split(np.arange(len(labels)), test_size=fraction, random_state=seed, stratify=labels)
    except ValueError as error:
        raise UserError(
            f"data.source: {source.name}: {len(labels)} samples of {len(source.classes)} classes are too few for a "
            f"{split} split of {fraction}: {error}; add samples, or change data.{split}_fraction"
        ) from None
    counts = np.bincount(labels[cut], minlength=len(source.classes))
    for label in np.flatnonzero(counts < MIN_PER_CLASS):
        moved = kept[labels[kept] == label][: MIN_PER_CLASS - counts[label]]
        kept, cut = kept[~np.isin(kept, moved)], np.concatenate([cut, moved])
    return share.among(kept), share.among(cut)


def _cut_groups(share: Share, fraction: float, split: str, seed: int) -> tuple[Share, Share]:
    """Cut off whole groups, about a fraction of each class: one part of a stratified division into equal parts."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = share.labels, np.unique(share.groups, return_inverse=True)[1]
    parts = max(2, round(1 / fraction))
    fewest, rarest = min(
        (len(np.unique(groups[labels == label])), name) for label, name in enumerate(share.source.classes)
    )
    if fewest < 2:
        raise UserError(
            f"data.source: {share.source.name}: each class must have a group for each split, but when the {split} "
            f"split was cut off, {rarest!r} had {fewest} left; add groups, or declare the split of each image"
        )
    divided = StratifiedGroupKFold(min(parts, fewest), shuffle=True, random_state=seed)
    kept, cut = min(
        divided.split(groups, labels, groups),
        key=lambda one: (_missing(one, labels, len(share.source.classes)), abs(len(one[1]) / len(labels) - fraction)),
    )
    return share.among(kept), share.among(cut)


def _missing(one: tuple[NDArray[np.int64], NDArray[np.int64]], labels: NDArray[np.int64], classes: int) -> int:
    """Number of classes with fewer than MIN_PER_CLASS images in one of two shares."""
    return sum(int((np.bincount(labels[part], minlength=classes) < MIN_PER_CLASS).sum()) for part in one)


def _limited(share: Share, limit: int, seed: int) -> Share:
    """At most `limit` images of a share, with the class proportions kept up to rounding."""
    from sklearn.model_selection import train_test_split

    labels = share.labels
    if limit >= len(labels):
        return share
    if limit < len(np.unique(labels)) or len(labels) - limit < len(np.unique(labels)):
        chosen = np.random.default_rng(seed).permutation(len(labels))[:limit]
    else:
        chosen, _ = train_test_split(np.arange(len(labels)), train_size=limit, random_state=seed, stratify=labels)
    return share.among(chosen)


def _seed(seed: int, purpose: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(purpose,)).generate_state(1)[0])
