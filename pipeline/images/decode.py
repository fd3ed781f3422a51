"""Read one image file as an array: decode, turn upright, convert to a colour mode, resize."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.images.color import background_of, convert
from pipeline.images.file_formats import opened_image
from pipeline.images.resize import reduce_jpeg, resize
from pipeline.params.input_types import ColorMode

MAX_FILE = 2 * 1024**3  # bytes of a file that is read
_WHITE = 255.0


class DecodedImage(NamedTuple):
    """An image in the form that a network expects.

    Attributes:
        values: (height, width, channels) raw values, uint8 or float32.
        size: Height and width of the upright image before resizing.
        color_mode: Colour mode of the file.
        sixteen_bit: Smallest and largest stored value in a file with 16 or more bits per value; None if it has 8 or
            fewer.
        mode: How the file stores values: Pillow's mode, such as `L` or `CMYK`, with `;16` for colours of 16 bits.
        file_format: Pillow's name of the format, such as `JPEG`.
        converted: What was done, in order, such as `CMYK to RGB`, `upright` or `resized to 32×32 (pad)`.
    """

    values: NDArray[Any]
    size: tuple[int, int]
    color_mode: ColorMode
    sixteen_bit: tuple[float, float] | None
    mode: str
    file_format: str
    converted: tuple[str, ...]


def read_image(
    source: Path | str | bytes, name: str, image_format: ImageFormat, value_range: ValueRange = BYTES
) -> DecodedImage:
    """Read an image from a file.

    Args:
        source: Path, address or content of an image file, whose format is recognized by its content.
        name: Name of the image in messages.
        image_format: Colour mode and size of the result, and how the image is converted to them. `grayscale` is ITU-R
            601 luma.
        value_range: Raw values that the pixels are converted to.

    Raises:
        UnreadableError: The file is missing, a broken link, a folder, empty, not permitted to be read, truncated,
            damaged, in an unsupported format, or dangerously large.
    """
    return _decode(content_of(source, name, "an image file", MAX_FILE), name, image_format, value_range)


def _decode(content: bytes, name: str, image_format: ImageFormat, value_range: ValueRange) -> DecodedImage:
    from pipeline.images.orientation import SIDEWAYS, turn

    try:
        with opened_image(content, name) as opened:
            animated = bool(getattr(opened, "is_animated", False))
            size = (opened.height, opened.width)
            if opened.format == "JPEG":
                reduce_jpeg(opened, image_format, turn(opened.info) in SIDEWAYS)
            found = convert(opened, content, name, image_format, value_range)
            turned = turn(opened.info)
            file_format = str(opened.format)
        converted = [*(("first frame",) if animated else ()), *found.converted]
        bands = found.bands
        if turned is not None:
            bands = tuple(band.transpose(turned) for band in bands)
            size = size[::-1] if turned in SIDEWAYS else size
            converted.append("upright")
        background = background_of(image_format, len(bands))
        resized = [resize(band, image_format, fill) for band, fill in zip(bands, background, strict=True)]
        pixels = np.asarray(resized[0]) if len(resized) == 1 else np.stack([np.asarray(each) for each in resized], -1)
    except UnreadableError:
        raise
    except (
        Exception
    ) as error:  # decoders raise arbitrary exceptions on malformed files; one bad file must not abort the batch
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"{name}: cannot be decoded, the file is truncated or damaged: {reason}") from None
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.dtype == np.float32:
        pixels = pixels.clip(0.0, _WHITE)  # bicubic and lanczos overshoot
    if pixels.shape[:2] != size:
        converted.append(f"resized to {pixels.shape[0]}×{pixels.shape[1]} ({image_format.resize})")
    return DecodedImage(
        value_range.from_pixels(pixels),
        size,
        found.color_mode,
        found.extremes,
        found.mode,
        file_format,
        tuple(converted),
    )
