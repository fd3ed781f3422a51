"""Images and labels of a source, before checks and splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays.axes import Channels, DeclaredKind, channels_last, kind_of_arrays
from pipeline.arrays.float32 import Float32Rows
from pipeline.arrays.size import NUMBERS
from pipeline.data.dataset import Kind
from pipeline.data.input_format import InputFormat
from pipeline.data.rows import Part, Rows
from pipeline.decoding.file_record import FileRecord
from pipeline.errors import UserError, shown_first


@dataclass(frozen=True)
class SixteenBit:
    """Statistics of image files with 16 or more bits per value.

    Attributes:
        files: Number of files.
        least: Smallest value in the files.
        greatest: Largest value in the files.
    """

    files: int
    least: float
    greatest: float


@dataclass(frozen=True)
class Source:
    """Images of a source, before checks and splits.

    Attributes:
        name: Name of the source, without its path.
        classes: Names of the classes; a label is an index into them.
        parts: Images (n, *grid, channels), which may be read on demand, with labels (n,), by split. A source without
            splits has all images in `train`.
        skipped: Files that were left out, relative to the source.
        sixteen_bit: Statistics of image files with 16 bits per value; None if there are none.
        links: Folders whose changes DVC does not detect, although it detects those of the source; see `Listing`.
        names: Names of the images, by part; the images of a part that is not in it are numbered.
        groups: Group of each image, such as a person, by part; parts without groups are not in it.
        weights: Weight of each image in the training loss, by part; empty if the source declares none.
        input_format: How a file becomes an input; None: the source consists of arrays.
        recordings: Sound of each spectrogram, (n, samples) of 16 bits, by part; empty for other kinds.
        files: What became of each file; empty if the source is not a set of files. The name of an image is its file.
        kind: What the samples are. Where this class says images, it means samples of any kind.
    """

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    skipped: tuple[str, ...] = field(default=())
    sixteen_bit: SixteenBit | None = None
    links: tuple[str, ...] = ()
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    input_format: InputFormat | None = None
    recordings: Mapping[str, Rows] = field(default_factory=dict)
    kind: Kind = "image"
    files: Sequence[FileRecord] = ()


_CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "fashion_mnist": (
        "t-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def numbered(
    name: str,
    parts: Mapping[str, tuple[Rows, Any]],
    classes: tuple[str, ...] = (),
    channels: Channels = "last",
    kind: DeclaredKind = "auto",
) -> Source:
    """Create a source with integer labels. Samples without channels get one; labels of shape (n, 1) become (n,).

    Without `classes`, the classes get the names that are known for a source of this name, or else their numbers.

    Args:
        name: Name of the source.
        parts: Samples (n, *grid), or with channels, and labels, by split.
        classes: Names of the classes.
        channels: Axis of a sample that contains the channels; auto: the last one, unless they seem to come first.
        kind: What the samples are; auto: images, or volumes if there are five axes.

    Raises:
        UserError: Samples or labels are not numbers, labels without names are not consecutive, the samples do not have
            the axes of their kind, or the channels seem to come first.
    """
    classes = classes or _CLASSES.get(name.replace("-", "_"), ())
    shaped = {}
    found: Kind = "image"
    for split, (images, labels) in parts.items():
        labels = np.asarray(labels)
        if labels.dtype.kind not in "biu":
            raise UserError(
                f"data.source: {name}: labels of {split} must be integers, got {labels.dtype}; convert them"
            )
        if images.dtype != np.uint8:
            if images.dtype.kind not in NUMBERS:
                raise UserError(
                    f"data.source: {name}: images of {split} must be numeric, got {images.dtype}; convert them"
                )
            images = Float32Rows(images, f"data.source: {name}: {split}")
        found = kind_of_arrays(name, split, images.shape, kind)
        shaped[split] = (channels_last(name, split, images, found, channels), labels.reshape(-1).astype(np.int64))
    return Source(
        name, classes or _numbers(name, {split: labels for split, (_, labels) in shaped.items()}), shaped, kind=found
    )


def _numbers(name: str, labels: Mapping[str, NDArray[np.int64]]) -> tuple[str, ...]:
    """Use the labels, by split, as names of the classes; they must be consecutive from 0."""
    found = np.unique(np.concatenate(list(labels.values())))
    if found.size and (found[0] != 0 or found[-1] != found.size - 1):
        missing = np.setdiff1d(np.arange(found.size), found)  # only the first ones, since a label can be any number
        raise UserError(
            f"data.source: {name}: labels must be consecutive from 0, got {found.size} labels from {found[0]} to "
            f"{found[-1]} without {shown_first([str(number) for number in missing])} "
            f"({_first_outside(labels, found.size)}); renumber the labels"
        )
    return tuple(str(number) for number in range(found.size))


def _first_outside(labels: Mapping[str, NDArray[np.int64]], classes: int) -> str:
    """The first label, by split, that is not a number from 0 to the number of classes less one, with its row."""
    return next(
        f"first: {values[row]} in row {row} of {split}, counted from 0"
        for split, values in labels.items()
        for row in np.flatnonzero((values < 0) | (values >= classes))[:1]
    )
