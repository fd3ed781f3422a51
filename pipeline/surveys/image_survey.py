"""Inspect image files for the rules of `init`."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES, ValueRange, range_of_files
from pipeline.decoding.decode import Fetcher, fetch_file
from pipeline.images.decode import DecodedImage, read_image
from pipeline.listing.entry import FileEntry, Listing
from pipeline.loaders.huggingface import list_huggingface
from pipeline.loaders.table import listing_of
from pipeline.sections import DataParams
from pipeline.sources.contrast import declarable_range
from pipeline.sources.image_files import facts_of, sixteen_bit_of
from pipeline.surveys.file_sample import FileSample, counts_of, open_files, require_readable, spread
from pipeline.surveys.mirroring import SIDE, MirrorTest, compare_mirrored
from pipeline.surveys.survey import Survey

_GREY_WITHIN = 8  # of 255 levels: the colour that JPEG adds to a grey image with three channels
_COLOURED_PIXELS = 0.01  # share of coloured pixels from which an image counts as coloured
_MIN_SLICES = 8  # consecutively numbered images in each folder below the class, which may be the slices of a volume


class _OpenedImage(NamedTuple):
    """An opened file. Its image is resized to a height and width of SIDE pixels."""

    coloured: bool
    image: DecodedImage


def survey_images(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect the image files in folders or of a manifest.

    Args:
        data: The section `data`.
        place: The part of `data.source` after the colon.
        seed: Seed of the test with mirror images.

    Raises:
        UserError: The files cannot be listed, or none is readable.
    """
    listing = listing_of("images", data, place)
    return _survey(data, listing, fetch_file, seed, _notes(listing, place))


def survey_huggingface(data: DataParams, place: str, seed: int) -> Survey:
    """Inspect the images of a Hugging Face dataset; see `survey_images`."""
    listing, content = list_huggingface(place)
    return _survey(data, listing, content, seed, ())


def _survey(data: DataParams, listing: Listing, fetch: Fetcher, seed: int, notes: tuple[str, ...]) -> Survey:
    chosen = spread(listing.entries)
    found = _opened(chosen, fetch, BYTES)
    declared = None
    if not found.read and data.value_range is not None:
        declared = data.value_range
        found = _opened(chosen, fetch, range_of_files(declared))
    sixteen_bit = sixteen_bit_of([facts_of(opened.image) for _, opened in found.read])
    if declared is None and (wide_range := declarable_range(sixteen_bit)) is not None:
        found = _opened(chosen, fetch, range_of_files(wide_range))
    require_readable(found, data.source, "image")
    coloured = sum(opened.coloured for _, opened in found.read)
    train = [(entry.label, opened.image.values) for entry, opened in found.read if entry.split == "train"]
    sizes = Counter(opened.image.size for _, opened in found.read)
    return Survey(
        source=data.source,
        classes=listing.classes,
        counts=counts_of(listing, listing.entries, found.unreadable),
        grid=_median_grid(sizes),
        channels=3 if coloured else 1,
        inspected=len(found.read),
        from_files=True,
        unreadable=found.names(),
        notes=notes,
        sizes=len(sizes),
        coloured=coloured / len(found.read),
        sixteen_bit=sixteen_bit,
        mirrored=_mirrored(train, len(listing.classes), seed),
        declared=declared,
        aspects=_aspects(sizes),
    )


def _opened(chosen: Sequence[FileEntry], fetch: Fetcher, value_range: ValueRange) -> FileSample[_OpenedImage]:
    return open_files(chosen, partial(_open, fetch=fetch, value_range=value_range), "images")


def _open(entry: FileEntry, fetch: Fetcher, value_range: ValueRange) -> _OpenedImage:
    name = str(entry.path)
    image = read_image(fetch(entry.path, name), name, ImageFormat(color_mode="rgb"), value_range)
    return _OpenedImage(has_colour(image.values), image._replace(values=shrunk(image.values)))


def _mirrored(train: Sequence[tuple[int, NDArray[np.uint8]]], classes: int, seed: int) -> Mapping[str, MirrorTest]:
    if not train:
        return {}
    labels = np.array([label for label, _ in train])
    return compare_mirrored(np.stack([values for _, values in train]), labels, classes, seed)


def _notes(listing: Listing, place: str) -> tuple[str, ...]:
    """Mention that images may be slices, if all lie in folders below the class and are numbered consecutively."""
    folders = defaultdict(list)
    for entry in listing.entries:
        path = PurePosixPath(entry.name)
        if len(entry.below_class()) < 2:
            return ()
        folders[path.parent].append(re.findall(r"\d+", path.stem)[-1:])
    for numbers in folders.values():
        found = sorted(int(each[0]) for each in numbers if each)
        if len(found) < max(_MIN_SLICES, len(numbers)) or found != list(range(found[0], found[0] + len(found))):
            return ()
    return (
        f"assumed that each file is an image; if the numbered files of each folder are the slices of a volume, pass "
        f"--data volumes:{place}",
    )


def has_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether an image (height, width, 3) is coloured, not a grey image with three channels."""
    between = pixels.max(axis=-1).astype(np.int16) - pixels.min(axis=-1)
    return bool((between > _GREY_WITHIN).mean() > _COLOURED_PIXELS)


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


def _median_grid(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    every = np.array(list(sizes.elements()))
    height, width = np.median(every, axis=0)
    return round(height), round(width)


def _aspects(sizes: Counter[tuple[int, int]]) -> tuple[float, float]:
    """The 5th and the 95th percentile of width by height."""
    ratios = [width / height for height, width in sizes.elements()]
    low, high = np.percentile(ratios, [5, 95])
    return float(low), float(high)
