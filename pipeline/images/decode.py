"""Read one image file as an array: decode, turn upright, convert to a colour mode, resize."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.images.resize import luma, resized
from pipeline.params.input_types import ColorMode

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_FILE = 2 * 1024**3  # bytes of a file that is read
_GRAY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
_WHITE = 255.0
_HIGH_BYTE = 256  # Pillow keeps only the high byte of 16-bit colour


class DecodedImage(NamedTuple):
    """An image in the form that a network expects.

    Attributes:
        values: (height, width, channels) raw values, uint8 or float32.
        size: Height and width of the upright image before resizing.
        color_mode: Colour mode of the file.
        sixteen_bit: Smallest and largest stored value in a file with 16 bits per value; None if it has 8 or fewer.
    """

    values: NDArray[Any]
    size: tuple[int, int]
    color_mode: ColorMode
    sixteen_bit: tuple[int, int] | None


def read_image(
    source: Path | bytes, name: str, image_format: ImageFormat, value_range: ValueRange = BYTES
) -> DecodedImage:
    """Read an image from a file.

    Args:
        source: Path or content of a PNG, JPEG, BMP, GIF (first frame) or WebP file.
        name: Name of the image in messages.
        image_format: Colour mode and size of the result, and how the image is converted to them. `grayscale` is ITU-R
            601 luma.
        value_range: Raw values that the pixels are converted to.

    Raises:
        UnreadableError: The file is missing, a broken link, a folder, empty, not permitted to be read, truncated,
            damaged, in an unsupported format, or dangerously large.
    """
    content = content_of(source, name, "an image file", MAX_FILE)
    return _decode(BytesIO(content), name, image_format, value_range)


def _decode(source: BytesIO, name: str, image_format: ImageFormat, value_range: ValueRange) -> DecodedImage:
    from PIL import Image, UnidentifiedImageError

    from pipeline.images.orientation import turn

    try:
        with _without_warnings(), Image.open(source, formats=FORMATS) as opened:
            high_byte_only = any(";16" in str(tile[3]) for tile in opened.tile) and not _is_sixteen_bit(opened)
            opened.load()
            stored = _stored_extremes(opened, high_byte_only)
            if high_byte_only and value_range.sixteen_bit != BYTES.sixteen_bit:
                raise UnreadableError(
                    f"{name}: must have 8 bits per value or one channel, got 16 bits per value in several channels, "
                    "which data.value_range cannot scale; convert it"
                )
            image = _opaque(opened, image_format, value_range)
            turned = turn(opened.info)
            if turned is not None:
                image = image.transpose(turned)
            size: tuple[int, int] = (image.height, image.width)
            stored_mode: ColorMode = "grayscale" if opened.mode in _GRAY else "rgb"
            pixels = np.asarray(resized(image, image_format))
            if pixels.dtype == np.float32:
                pixels = pixels.clip(0.0, _WHITE)  # bicubic and lanczos overshoot
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError(f"{name}: must be a {', '.join(FORMATS)} image, got another format") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{name}: has too many pixels: {error}") from None
    except (
        Exception
    ) as error:  # decoders raise arbitrary exceptions on malformed files; one bad file must not abort the batch
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"{name}: cannot be decoded, the file is truncated or damaged: {reason}") from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., np.newaxis], image_format.channels, axis=-1)
    return DecodedImage(value_range.from_pixels(pixels), size, stored_mode, stored)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress Pillow's warnings, but raise the one about dangerously large images as an error."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _is_sixteen_bit(image: "Image.Image") -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _stored_extremes(image: "Image.Image", high_byte_only: bool) -> tuple[int, int] | None:
    """Smallest and largest value in a file with 16 bits per value; None for other files."""
    if high_byte_only:
        values = np.asarray(image)[..., :3]  # without the alpha channel
        return int(values.min()) * _HIGH_BYTE, int(values.max()) * _HIGH_BYTE + _HIGH_BYTE - 1
    if _is_sixteen_bit(image):
        values = np.asarray(image)
        return int(values.min()), int(values.max())
    return None


def _opaque(image: "Image.Image", image_format: ImageFormat, value_range: ValueRange) -> "Image.Image":
    """Compose transparent parts on the background. The mode is L or RGB, or F from 0 to 255 for 16 bits per value."""
    from PIL import Image

    if _is_sixteen_bit(image):
        values = np.asarray(image)
        pixels = value_range.from_sixteen_bit(values)
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            pixels[values == clear] = luma(image_format.background)
        return Image.fromarray(pixels)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (*image_format.background, 255)), rgba)
    return image.convert("L" if image_format.color_mode == "grayscale" else "RGB")
