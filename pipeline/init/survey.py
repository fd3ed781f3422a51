"""Inspect a data source for the rules of `init`, within seconds and without TensorFlow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.kind import KINDS
from pipeline.data.rows import Part
from pipeline.data.value_range import BYTES, ValueRange, range_of_files
from pipeline.errors import UnreadableError, UserError
from pipeline.images.decode import DecodedImage, read_image
from pipeline.images.file_formats import SUFFIXES
from pipeline.init.mirroring import SIDE, MirrorTest, compare_mirrored
from pipeline.init.time_budget import DEFAULT_TIME, TimeBudget
from pipeline.listing.entry import FileEntry
from pipeline.listing.list_files import list_files
from pipeline.loaders.table import load
from pipeline.sections import DataParams
from pipeline.sources.contrast import declarable_range
from pipeline.sources.image_files import facts_of, sixteen_bit_of
from pipeline.sources.source import SixteenBit
from pipeline.terminal.progress import progress

# For kinds of sources whose settings `init` does not choose: files to start from.
_EXAMPLES = {
    "ts": "examples/gunpoint.yaml",
    "series": "examples/gunpoint.yaml",
    "audio": "examples/spoken_digits.yaml",
    "volumes": "examples/solids.yaml",
}
MAX_FILES = 800  # files that are opened; the others are counted by their names
MAX_BYTES = 80_000_000  # total size of these files, so that large photos do not take minutes
_GREY_WITHIN = 8  # of 255 levels: the colour that JPEG adds to a grey image with three channels
_COLOURED_PIXELS = 0.01  # share of coloured pixels from which an image counts as coloured


@dataclass(frozen=True)
class Survey:
    """Properties of a data source.

    Attributes:
        source: Value of `data.source`.
        classes: Names of the classes.
        counts: Number of images of each class, by split. A source without splits has all images in `train`.
        grid: Median height and width, in pixels.
        sizes: Number of different image sizes.
        channels: Channels of images in arrays; for files, 3 if some are coloured, else 1.
        coloured: Share of the opened images that are coloured.
        from_files: Whether the images are files, which can be converted and resized.
        inspected: Number of images that were opened.
        unreadable: Opened files that are not readable images, relative to the source.
        sixteen_bit: Statistics of files with 16 bits per value; None if there are none.
        mirrored: Results of the test with mirror images, by axis; empty if nothing could be measured.
        time: The time for `fovea run`.
        declared: `data.value_range` of floating-point or 32-bit files, which cannot be read without it; None: there
            are none.
        aspects: Aspect ratios, width by height, of which 90% of the images lie between.
    """

    source: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    grid: tuple[int, int]
    sizes: int
    channels: int
    coloured: float
    from_files: bool
    inspected: int
    unreadable: tuple[str, ...]
    sixteen_bit: SixteenBit | None
    mirrored: Mapping[str, MirrorTest]
    time: TimeBudget = DEFAULT_TIME
    declared: tuple[float, float] | None = None
    aspects: tuple[float, float] = (1.0, 1.0)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The recommended `data.value_range`."""
        return self.declared or declarable_range(self.sixteen_bit)

    @property
    def opened(self) -> int:
        """Number of files that were opened, readable or not."""
        return self.inspected + len(self.unreadable)

    @property
    def images(self) -> int:
        """Number of all images of the source."""
        return sum(sum(counts) for counts in self.counts.values())


class _OpenedImage(NamedTuple):
    """An opened file. Its image is resized to a height and width of SIDE pixels."""

    split: str
    label: int
    coloured: bool
    image: DecodedImage


def inspect_source(data: DataParams, seed: int) -> Survey:
    """Inspect the source that `data.source` names.

    Raises:
        UserError: The source is missing, or not valid for its kind.
    """
    kind, _, place = data.source.partition(":")
    if kind in _EXAMPLES:
        raise UserError(
            f"data.source: {data.source}: fovea init chooses settings for images; copy {_EXAMPLES[kind]} to "
            "params.yaml, set data.source in it, and adapt the other keys"
        )
    return _files(data, place, seed) if kind == "images" else _arrays(data, seed)


def _files(data: DataParams, place: str, seed: int) -> Survey:
    source = data.source
    listing = list_files("images", place, data.file_pattern, SUFFIXES)
    chosen = _spread(listing.entries)
    seen, unreadable, reason = _opened(chosen, BYTES)
    wide_range = None
    if not seen and data.value_range is not None:
        wide_range = data.value_range
        seen, unreadable, reason = _opened(chosen, range_of_files(wide_range))
    sixteen_bit = sixteen_bit_of([facts_of(each.image) for each in seen])
    if wide_range is None and (declared := declarable_range(sixteen_bit)) is not None:
        seen, unreadable, reason = _opened(chosen, range_of_files(declared))
    if not seen:
        raise UserError(
            f"data.source: {source}: none of the {len(chosen)} inspected files is a readable image; the first one: "
            f"{reason}"
        )
    left_out = set(unreadable)
    readable = [entry for entry in listing.entries if entry not in left_out]
    counts = {
        split: _per_class([entry.label for entry in readable if entry.split == split], len(listing.classes))
        for split in listing.splits
    }
    coloured = sum(each.coloured for each in seen)
    train = [(each.label, each.image.values) for each in seen if each.split == "train"]
    sizes = Counter(each.image.size for each in seen)
    return Survey(
        source=source,
        classes=listing.classes,
        counts=counts,
        grid=_median_grid(sizes),
        sizes=len(sizes),
        channels=3 if coloured else 1,
        coloured=coloured / len(seen),
        from_files=True,
        inspected=len(seen),
        unreadable=tuple(entry.name for entry in unreadable),
        sixteen_bit=sixteen_bit,
        mirrored=_mirrored(train, len(listing.classes), seed),
        declared=wide_range,
        aspects=_aspects(sizes),
    )


def _opened(chosen: Sequence[FileEntry], value_range: ValueRange) -> tuple[list[_OpenedImage], list[FileEntry], str]:
    """Open files; return the images that can be read, the files that cannot, and why the first of them cannot."""
    seen, unreadable, reason = [], [], ""
    for entry in progress(chosen, "inspecting images", len(chosen)):
        try:
            image = read_image(entry.path, str(entry.path), ImageFormat(color_mode="rgb"), value_range)
        except UnreadableError as error:
            unreadable.append(entry)
            reason = reason or str(error)
            continue
        small = image._replace(values=shrunk(image.values))
        seen.append(_OpenedImage(entry.split, entry.label, has_colour(image.values), small))
    return seen, unreadable, reason


def _mirrored(train: Sequence[tuple[int, NDArray[np.uint8]]], classes: int, seed: int) -> Mapping[str, MirrorTest]:
    if not train:
        return {}
    labels = np.array([label for label, _ in train])
    return compare_mirrored(np.stack([values for _, values in train]), labels, classes, seed)


def _arrays(data: DataParams, seed: int) -> Survey:
    source = load(data, seed, Path("data/decoded"))
    if source.kind != "image":
        raise UserError(
            f"data.source: {source.name}: fovea init chooses settings for images, got {KINDS[source.kind].many}; set "
            "data.source in params.yaml, and adapt the other keys"
        )
    images, labels = source.parts["train"]
    if len(images.shape) != 4 or 0 in images.shape:
        raise UserError(
            f"data.source: {source.name}: images must have shape (n, height, width, channels), got {images.shape}; "
            "reshape them"
        )
    chosen = _spread(range(len(images)))
    opened = [as_bytes(image) for image in images[np.array(chosen)]]
    small = np.stack([shrunk(image) for image in opened])
    coloured = sum(has_colour(image) for image in opened) if images.shape[-1] == 3 else 0
    return Survey(
        source=data.source,
        classes=source.classes,
        counts={split: _per_class(part[1], len(source.classes)) for split, part in source.parts.items()},
        grid=(int(images.shape[1]), int(images.shape[2])),
        sizes=1,
        channels=int(images.shape[-1]),
        coloured=coloured / len(chosen),
        from_files=False,
        inspected=len(chosen),
        unreadable=(),
        sixteen_bit=None,
        mirrored=compare_mirrored(small, labels[chosen], len(source.classes), seed),
    )


def has_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image (height, width, 3) is coloured, not a grey image with three channels."""
    spread = pixels.max(axis=-1).astype(np.int16) - pixels.min(axis=-1)
    return bool((spread > _GREY_WITHIN).mean() > _COLOURED_PIXELS)


def shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize an image (height, width, channels) to (SIDE, SIDE, 3), without keeping its aspect ratio."""
    from PIL import Image

    three = np.repeat(pixels[..., :1], 3, axis=-1) if pixels.shape[-1] != 3 else pixels
    return np.asarray(Image.fromarray(three).resize((SIDE, SIDE), Image.Resampling.BOX))


def as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values of any range to pixels from 0 to 255."""
    if values.dtype == np.uint8:
        return values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return np.nan_to_num(scaled).astype(np.uint8)


def _spread(entries: Sequence[Any]) -> list[Any]:
    """Return at most MAX_FILES evenly spaced entries, fewer if their files are large."""
    places = np.unique(np.linspace(0, len(entries) - 1, min(len(entries), MAX_FILES)).round().astype(int))
    chosen = [entries[place] for place in places]
    paths = [entry.path for entry in chosen if isinstance(entry, FileEntry)]
    sizes = [path.stat().st_size for path in paths if isinstance(path, Path) and path.is_file()]
    if sum(sizes) > MAX_BYTES:
        step = -(-sum(sizes) // MAX_BYTES)
        chosen = chosen[::step]
    return chosen


def _per_class(labels: "Sequence[int] | Part | Any", classes: int) -> tuple[int, ...]:
    return tuple(int(count) for count in np.bincount(np.asarray(labels, dtype=np.int64), minlength=classes))


def _median_grid(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    every = np.array(list(sizes.elements()))
    height, width = np.median(every, axis=0)
    return round(height), round(width)


def _aspects(sizes: Counter[tuple[int, int]]) -> tuple[float, float]:
    """The 5th and the 95th percentile of width by height."""
    ratios = [width / height for height, width in sizes.elements()]
    low, high = np.percentile(ratios, [5, 95])
    return float(low), float(high)
