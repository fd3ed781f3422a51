"""Convert the pixels of an opened image file to opaque grey or RGB. docs/data.md lists the policy of each mode."""

import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UnreadableError
from pipeline.images.resize import luma
from pipeline.params.input_types import ColorMode

if TYPE_CHECKING:
    from PIL import Image, ImageFile

_GRAY = ("1", "L", "LA", "I", "F")
_BYTE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_WORD_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_WIDE_MODES = ("I", "F")  # 32-bit integers, floating-point values
_BYTE, _WORD = 255.0, 65535.0
_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
_PHOTOMETRIC, _BITS, _PLANAR = 262, 258, 284  # TIFF tags
_OTHER_END = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

# Values (height, width, channels), and how transparent they are, (height, width, 1) from 0 to 1; None: opaque.
_Values: TypeAlias = tuple[NDArray[Any], NDArray[np.float32] | None]


class Pixels(NamedTuple):
    """The pixels of a file, opaque, in the declared colour mode, not yet turned upright.

    Attributes:
        bands: One image of mode L or RGB; for files with more than 8 bits per value, one image of mode F, from 0 to
            255, for each channel.
        mode: Mode of the file: that of Pillow, with `;16` for colours of 16 bits.
        color_mode: Colour mode of the file.
        extremes: Smallest and largest stored value in a file with more than 8 bits per value; else None.
        converted: What was done.
    """

    bands: tuple["Image.Image", ...]
    mode: str
    color_mode: ColorMode
    extremes: tuple[float, float] | None
    converted: tuple[str, ...]


def background_of(image_format: ImageFormat, bands: int) -> tuple[Any, ...]:
    """The background in the form of each band: grey level, colour, or value of a channel."""
    if image_format.color_mode == "grayscale":
        return (luma(image_format.background),)
    return image_format.background if bands > 1 else (image_format.background,)


def convert(
    image: "ImageFile.ImageFile", content: bytes, name: str, image_format: ImageFormat, value_range: ValueRange
) -> Pixels:
    """Decode an opened image, and convert it to opaque grey or RGB.

    Args:
        image: The opened image.
        content: Content of its file.
        name: Name of the image in messages.
        image_format: Colour mode and background.
        value_range: Black and white of files with more than 8 bits per value.

    Raises:
        UnreadableError: The mode is not supported, black and white of its values are unknown, or a value is not finite.
    """
    rawmode = _rawmode(image)
    deep = ";16" in rawmode and image.mode not in _WORD_MODES
    mode = f"{rawmode.partition(';')[0]};16" if deep else image.mode
    _require_supported(image, rawmode, mode, name)
    if not deep and mode in _BYTE_MODES:
        return _bytes(image, image_format)
    values, clear = _deep(image, content, rawmode) if deep else _single(image)
    if mode in _WIDE_MODES:
        _require_known_range(values, mode, name, value_range)
    extremes = (values.min().item(), values.max().item())
    gray = values.shape[-1] == 1
    converted = [
        "scaled from floating-point values" if mode == "F" else f"scaled from {32 if mode == 'I' else 16} bits"
    ]
    if clear is not None:
        converted.append("transparency composed")
    color_mode: ColorMode = "grayscale" if gray else "rgb"
    if color_mode != image_format.color_mode:
        converted.append("grayscale to RGB" if gray else "RGB to grayscale")
    bands = tuple(_band(channel, image_format, value_range, values, clear) for channel in range(image_format.channels))
    return Pixels(bands, mode, color_mode, extremes, tuple(converted))


def _band(
    channel: int,
    image_format: ImageFormat,
    value_range: ValueRange,
    values: NDArray[Any],
    clear: NDArray[np.float32] | None,
) -> "Image.Image":
    """One channel of the result: an image of mode F from 0 to 255."""
    from PIL import Image

    if image_format.channels == 1 and values.shape[-1] == 3:
        pixels = np.zeros(values.shape[:2], np.float32)
        for each, share in enumerate(_LUMA):
            pixels += share * value_range.from_sixteen_bit(values[..., each])
    else:
        pixels = value_range.from_sixteen_bit(values[..., min(channel, values.shape[-1] - 1)])
    if clear is not None:
        pixels = pixels * (1 - clear[..., 0]) + clear[..., 0] * background_of(image_format, 3)[channel]
    return Image.fromarray(np.asarray(pixels, np.float32))


def _bytes(image: "ImageFile.ImageFile", image_format: ImageFormat) -> Pixels:
    """Convert an image with at most 8 bits per value with Pillow."""
    from PIL import Image

    image.load()  # which may change the mode
    stored, converted = image.mode, []
    opaque: Image.Image = image
    if stored in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        opaque = Image.alpha_composite(Image.new("RGBA", rgba.size, (*image_format.background, 255)), rgba)
        converted.append("transparency composed")
    target = "L" if image_format.color_mode == "grayscale" else "RGB"
    if stored.removesuffix("A") != target:
        converted.append(f"{stored} to {target}")
    color_mode: ColorMode = "grayscale" if stored in _GRAY else "rgb"
    if opaque.mode != target:  # otherwise, convert would copy it
        opaque = opaque.convert(target)
    return Pixels((opaque,), stored, color_mode, None, tuple(converted))


def _single(image: "ImageFile.ImageFile") -> _Values:
    """Values and transparency of an image with one channel."""
    image.load()
    values = np.asarray(image)[..., np.newaxis]
    if image.mode in _WORD_MODES and _tag(image, _PHOTOMETRIC) == 0:  # white is zero
        values = np.uint16(_WORD) - values.astype(np.uint16)
    clear = image.info.get("transparency")
    return values, (values == clear).astype(np.float32) if isinstance(clear, int) else None


def _deep(image: "ImageFile.ImageFile", content: bytes, rawmode: str) -> _Values:
    """Values and transparency of an image with 16 bits per value in several channels.

    Pillow keeps one byte of each value. The file is therefore decoded twice: as it is, which gives the high bytes, and
    as if its bytes had the other order, which gives the low ones.
    """
    if rawmode == "LA;16B":
        parts = _decoded(image, "RGBA").astype(np.uint16)  # the four bytes of a pixel
        values = parts[..., 0::2] * 256 + parts[..., 1::2]
    else:
        low = _reopened(image, content)
        other = rawmode[:-1] + _OTHER_END[rawmode[-1]]
        values = _decoded(image, rawmode).astype(np.uint16) * 256 + _decoded(low, other)
    channels = 1 if rawmode.startswith("LA") else 3
    if image.mode == "RGBA":
        return values[..., :channels], 1 - values[..., -1:].astype(np.float32) / np.float32(_WORD)
    clear = image.info.get("transparency")
    if isinstance(clear, tuple):
        return values, (values == np.array(clear)).all(axis=-1, keepdims=True).astype(np.float32)
    return values, None


def _decoded(image: "ImageFile.ImageFile", rawmode: str) -> NDArray[np.uint8]:
    """Decode an image, which must not have been decoded before, in another raw mode."""
    image.tile = [tile._replace(args=_with_rawmode(tile.args, rawmode)) for tile in image.tile]
    return np.asarray(image)


def _with_rawmode(args: Any, rawmode: str) -> Any:
    """The arguments of a decoder with another raw mode, which is all of them or the first of them."""
    return rawmode if isinstance(args, str) else (rawmode, *args[1:])


def _reopened(image: "ImageFile.ImageFile", content: bytes) -> "ImageFile.ImageFile":
    from PIL import Image

    return Image.open(BytesIO(content), formats=(str(image.format),))


def _rawmode(image: "ImageFile.ImageFile") -> str:
    """How the pixels are stored in the file, such as `RGB;16B`; empty if the format does not say."""
    if not image.tile:
        return ""
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _tag(image: "ImageFile.ImageFile", number: int) -> Any:
    """Value of a TIFF tag; None if it is missing or the file is not a TIFF."""
    return image.tag_v2.get(number) if image.format == "TIFF" else None  # type: ignore[attr-defined]


def _require_supported(image: "ImageFile.ImageFile", rawmode: str, mode: str, name: str) -> None:
    """Raise an error for pixels that cannot be converted, or that Pillow would decode to something else."""
    deep = mode.endswith(";16") and mode not in _WORD_MODES
    if deep and rawmode[:-1] not in ("RGB;16", "RGBA;16", "RGBX;16") and rawmode != "LA;16B":
        raise UnreadableError(
            f"{name}: must have 8 bits per value, or 16 in grey, RGB or RGBA, got {rawmode}; convert it to 8 bits"
        )
    bits = _tag(image, _BITS)
    if not deep and isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8:
        planes = "in separate planes" if _tag(image, _PLANAR) == 2 else f"as {rawmode}"
        raise UnreadableError(
            f"{name}: must have at most 8 bits per value in several channels that are stored {planes}, got "
            f"{max(bits)} bits; save it with interleaved channels"
        )
    if not deep and mode not in (*_BYTE_MODES, *_WORD_MODES, *_WIDE_MODES):
        raise UnreadableError(f"{name}: must be grey, RGB or CMYK, got the colour mode {mode}; convert it to RGB")


def _require_known_range(values: NDArray[Any], mode: str, name: str, value_range: ValueRange) -> None:
    """Raise an error if 32-bit or floating-point values cannot be scaled."""
    infinite = ~np.isfinite(values)
    if infinite.any():
        row, column, *_ = np.unravel_index(infinite.argmax(), values.shape)
        raise UnreadableError(
            f"{name}: must contain only finite values, got {infinite.sum():,} NaN or infinite values, the first one at "
            f"row {row}, column {column}; replace such values"
        )
    if value_range.sixteen_bit == BYTES.sixteen_bit:
        kind = "floating-point" if mode == "F" else "32-bit"
        raise UnreadableError(
            f"{name}: has {kind} values from {values.min():g} to {values.max():g}, whose black and white are unknown; "
            "set data.value_range: [black, white]"
        )
