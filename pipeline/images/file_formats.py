"""Which image files are read, and how they are opened: by their content, whatever their name."""

import importlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from pipeline.errors import UnreadableError

if TYPE_CHECKING:
    from PIL import ImageFile

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF")  # of these, Pillow is asked
_HEIF = "HEIF"  # opened by the package pillow-heif
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif",
)  # fmt: skip
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
HEADER = 32  # number of first bytes that `is_image` needs
_BOX = b"ftyp"  # AVIF and HEIF: after four bytes with the length of the first box
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
MAX_PIXELS = 89_478_485  # as in Pillow: 256 MiB of RGB


def is_image(header: bytes) -> bool:
    """Whether the first bytes of a file, HEADER or more, are those of an image file.

    Image files have a zero byte among them; a list of names that starts with the same letters does not.
    """
    return (header.startswith(_MAGIC) or header[4:8] == _BOX) and b"\0" in header[:HEADER]


@contextmanager
def opened_image(content: bytes, name: str) -> Iterator["ImageFile.ImageFile"]:
    """Open an image file. Its header is read and checked, its pixels are not yet decoded.

    Within the context, Pillow's warnings are suppressed.

    Raises:
        UnreadableError: The file has another format, needs a package that is not installed, or has too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image: ImageFile.ImageFile = Image.open(BytesIO(content), formats=FORMATS)
        except UnidentifiedImageError:
            image = _open_other(content, name)
        except Image.DecompressionBombError as error:
            stated = re.search(r"\d+", str(error))
            raise _too_large(name, int(stated[0]) if stated else 2 * MAX_PIXELS) from None
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(name, image.width * image.height)
            yield image


def _too_large(name: str, pixels: int) -> UnreadableError:
    return UnreadableError(
        f"{name}: must have at most {MAX_PIXELS:,} pixels, got {pixels:,}; scale it down, or cut it into pieces"
    )


def _open_other(content: bytes, name: str) -> "ImageFile.ImageFile":
    """Open a file that Pillow does not recognize, with pillow-heif if it is a HEIF file."""
    from PIL import Image, UnidentifiedImageError, features

    brand = content[8:12] if content[4:8] == _BOX else b""
    if brand in _AVIF_BRANDS and not features.check("avif"):
        raise UnreadableError(f"{name}: is an AVIF file, which this build of Pillow does not read; convert it to PNG")
    if brand in _HEIF_BRANDS:
        try:
            importlib.import_module("pillow_heif").register_heif_opener()
        except ImportError:
            raise UnreadableError(
                f"{name}: is a HEIF file, which needs the Python package pillow-heif; install it with "
                '`make extras EXTRAS="heif"`, or convert the file to JPEG'
            ) from None
        try:
            return Image.open(BytesIO(content), formats=(_HEIF,))
        except UnidentifiedImageError:
            pass  # another format in the same container
    raise UnreadableError(f"{name}: must be a {', '.join(FORMATS)} or {_HEIF} image, got another format")
