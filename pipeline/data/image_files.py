"""One image file as an array: decoded, turned upright, converted to a colour mode, resized."""

import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.terminal import UserError

ColorMode = Literal["grayscale", "rgb"]
COLOR_MODES: dict[int, ColorMode] = {1: "grayscale", 3: "rgb"}  # by channels
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_GRAY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")


class UnreadableError(UserError):
    """A file that is no readable image; the message names the file and the reason."""


def decode_file(path: Path, color_mode: ColorMode, image_size: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """The image in a file.

    Args:
        path: a PNG, JPEG, BMP, GIF (its first picture) or WebP file.
        color_mode: grayscale gives one channel (ITU-R 601 luma), rgb three. Transparent parts are put on black.
        image_size: height and width to resize to (bilinear); None: as it is.

    Returns:
        (height, width, channels) uint8.

    Raises:
        UnreadableError: the file is missing, a dead link, a folder, empty, cut off, damaged, of another kind, or
            dangerously large.
    """
    if path.is_symlink() and not os.path.exists(path):
        raise UnreadableError(f"{path}: must be an image, got a link that leads nowhere")
    if path.is_dir():
        raise UnreadableError(f"{path}: must be an image file, got a folder; name the files in it")
    try:
        if path.stat().st_size == 0:
            raise UnreadableError(f"{path}: must be an image, got an empty file")
    except FileNotFoundError:
        raise UnreadableError(f"{path}: no such file") from None
    return _decode(path, str(path), color_mode, image_size)


def decode_bytes(
    content: bytes, name: str, color_mode: ColorMode, image_size: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    """The image in the content of a file, as `decode_file` gives it.

    Args:
        content: of the file.
        name: what messages call it.
        color_mode: likewise.
        image_size: likewise.

    Raises:
        UnreadableError: likewise.
    """
    return _decode(BytesIO(content), name, color_mode, image_size)


def appearance(source: Path | BytesIO) -> tuple[tuple[int, int], ColorMode] | None:
    """Height and width as stored, and colour mode, read from the header alone; None: it is no readable image."""
    from PIL import Image

    try:
        with Image.open(source, formats=FORMATS) as opened:
            return (opened.height, opened.width), "grayscale" if opened.mode in _GRAY else "rgb"
    except (OSError, SyntaxError, ValueError, EOFError, struct_error(), Image.DecompressionBombError):
        return None


def _decode(
    source: Path | BytesIO, name: str, color_mode: ColorMode, image_size: tuple[int, ...] | None
) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as opened:
                image = ImageOps.exif_transpose(opened)
                if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                    rgba = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
                if image.mode.startswith("I;16") or image.mode == "I":
                    wide = np.asarray(image, dtype=np.int64)
                    image = Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8))
                image = image.convert("L" if color_mode == "grayscale" else "RGB")
                if image_size is not None:
                    height, width = image_size
                    if image.size != (width, height):
                        image = image.resize((width, height), Image.Resampling.BILINEAR)
                pixels = np.asarray(image, dtype=np.uint8)
    except UnidentifiedImageError:
        raise UnreadableError(f"{name}: must be a {', '.join(FORMATS)} image, got something else") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableError(f"{name}: has too many pixels: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct_error()) as error:
        raise UnreadableError(f"{name}: cannot be decoded, it is cut off or damaged: {error}") from None
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def struct_error() -> type[Exception]:
    """What Pillow's parsers let through when a header ends early."""
    import struct

    return struct.error
