"""Read the orientation of a photo from its metadata.

Only the tag 0x0112 is read. Pillow's `exif_transpose` parses and writes all of EXIF, and fails on tags of unexpected
types.
"""

import re
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

_TAG = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I"}  # struct formats of the types that can store an orientation: byte, short, long
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_UPRIGHT = 1
SIDEWAYS = (
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn(info: Mapping[Any, Any]) -> Image.Transpose | None:
    """The transposition that turns an image upright; None if it is upright or the metadata do not say.

    Args:
        info: `info` of a Pillow image whose pixels are loaded, since PNG files may have metadata after the pixels.
    """
    return _TURNS.get(_orientation(info))


def _orientation(info: Mapping[Any, Any]) -> int:
    found = _from_exif(_exif(info))
    if found is None:
        xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or b""
        match = _XMP.search(xmp if isinstance(xmp, bytes) else str(xmp).encode(errors="replace"))
        found = int(match[1]) if match else _UPRIGHT
    return found


def _exif(info: Mapping[Any, Any]) -> bytes:
    content = info.get("exif")
    if isinstance(content, bytes):
        return content.removeprefix(b"Exif\0\0")
    profile = info.get("Raw profile type exif")  # ImageMagick's form for PNG: hexadecimal digits after three lines
    try:
        return bytes.fromhex("".join(str(profile or "").split("\n")[3:])).removeprefix(b"Exif\0\0")
    except ValueError:
        return b""


def _from_exif(content: bytes) -> int | None:
    """Value of the tag in the first directory of a TIFF structure; None if it is missing or unreadable."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (entries,) = struct.unpack_from(f"{order}H", content, start)
        for number in range(entries):
            place = start + 2 + 12 * number
            tag, kind, count = struct.unpack_from(f"{order}HHI", content, place)
            if tag == _TAG:
                if count != 1 or kind not in _FORMATS:
                    return None
                return int(struct.unpack_from(f"{order}{_FORMATS[kind]}", content, place + 8)[0])
    except struct.error:  # truncated
        return None
    return None
