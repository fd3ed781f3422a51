"""Read image files."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import ValueRange
from pipeline.decoding.decode import Decoded, Fetcher, fetch_file
from pipeline.decoding.read_files import read_files
from pipeline.images.decode import DecodedImage, read_image
from pipeline.listing.entry import Listing
from pipeline.sources.source import SixteenBit, Source


def read_images(
    listing: Listing,
    image_format: ImageFormat,
    on_unreadable: Literal["error", "skip"],
    value_range: ValueRange,
    decoded: Path,
    fetch: Fetcher = fetch_file,
) -> Source:
    """Read image files.

    Args:
        listing: The files.
        image_format: How the images are converted.
        on_unreadable: What happens to files that are not readable images.
        value_range: Raw values that the pixels are converted to.
        decoded: Folder of decoded images.
        fetch: Function that returns the content of a file.

    Raises:
        UserError: Files are not readable images (the first 20 are listed), or images have several sizes without an
            `image_size`.
    """
    decode = partial(decode_image, image_format=image_format, value_range=value_range)
    settings = [image_format, value_range]
    found = read_files(listing, decode, settings, decoded, on_unreadable, "reading images", fetch)
    return Source(
        listing.name,
        listing.classes,
        found.parts("set data.image_size: [height, width]"),
        skipped=found.skipped,
        sixteen_bit=sixteen_bit_of(found.facts),
        links=listing.links,
        names=found.names,
        groups=found.groups,
        weights=found.weights,
        files=found.records(listing.classes),
        input_format=image_format,
    )


def decode_image(content: bytes, name: str, image_format: ImageFormat, value_range: ValueRange) -> Decoded:
    """Decode the content of an image file into one sample."""
    image = read_image(content, name, image_format, value_range)
    return Decoded(image.values[np.newaxis], facts_of(image))


def facts_of(image: DecodedImage) -> dict[str, Any]:
    """What is known about an image file, as JSON values."""
    return {
        "size": list(image.size),
        "color_mode": image.color_mode,
        "sixteen_bit": image.sixteen_bit,
        "mode": image.mode,
        "format": image.file_format,
        "converted": list(image.converted),
    }


def sixteen_bit_of(files: Sequence[Mapping[str, Any]]) -> SixteenBit | None:
    """Summarize the files with 16 bits per value; None if there are none.

    Args:
        files: What is known about each file.
    """
    found = [each for each in files if each["sixteen_bit"] is not None]
    if not found:
        return None
    return SixteenBit(
        files=len(found),
        least=min(each["sixteen_bit"][0] for each in found),
        greatest=max(each["sixteen_bit"][1] for each in found),
    )
