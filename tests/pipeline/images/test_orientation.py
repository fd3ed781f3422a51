"""The orientation is the only metadata that affects how a photo is read."""

import io
import struct
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.input_format import ImageFormat
from pipeline.images.decode import read_image
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load

CASE = Path(__file__).parent / "cases" / "exifcrash.jpg"
ORIENTATION = 0x0112
TAGS = (0, 0x0100, 0x010F, 0x011A, 0x0131, 0x0132, 0x013B, 0x0201, 0x0213, 0x8298, 0x8769, 0x8825, 0x927C, 0xA005)
TYPES = tuple(range(15))
COUNTS = (0, 1, 2, 3, 7, 65_536, 0xFFFFFFFF)

Entry = tuple[int, int, int, bytes]


def exif(*entries: Entry, order: str = "<") -> bytes:
    """A TIFF structure with one directory; an entry is tag, type, count, and four bytes."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    packed = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    return head + struct.pack(f"{order}H", len(entries)) + packed + bytes(4) + b"\0\0\0\1\0\0\0\2" * 16


def orientation(value: int, order: str = "<") -> Entry:
    return ORIENTATION, 3, 1, struct.pack(f"{order}HH", value, 0)


def in_jpeg(image: Image.Image, metadata: bytes) -> bytes:
    content = saved(image, "JPEG")
    segment = b"Exif\0\0" + metadata
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]


def in_png(image: Image.Image, metadata: bytes, after_pixels: bool = False) -> bytes:
    content = saved(image, "PNG")
    chunk = struct.pack(">I", len(metadata)) + b"eXIf" + metadata + struct.pack(">I", zlib.crc32(b"eXIf" + metadata))
    place = len(content) - 12 if after_pixels else 33
    return content[:place] + chunk + content[place:]


def in_webp(image: Image.Image, metadata: bytes) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "WEBP", lossless=True, exif=metadata)
    return stream.getvalue()


def in_png_after_pixels(image: Image.Image, metadata: bytes) -> bytes:
    return in_png(image, metadata, after_pixels=True)


KINDS = {"jpeg": in_jpeg, "png": in_png, "png, after the pixels": in_png_after_pixels, "webp": in_webp}


def saved(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def picture() -> Image.Image:
    """An image 24 wide and 16 high whose upper left quarter is white."""
    image = Image.new("L", (24, 16))
    image.paste(255, (0, 0, 12, 8))
    return image


def pixels(content: bytes) -> np.ndarray:
    return read_image(content, "photo", ImageFormat(color_mode="grayscale")).values[..., 0]


def test_a_text_field_stored_as_a_rational_number_is_ignored(tmp_path: Path) -> None:
    assert read_image(CASE, "photo", ImageFormat(color_mode="grayscale")).values.shape == (24, 16, 1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_bytes(CASE.read_bytes())
    assert load(data_params(source=f"images:{tmp_path}"), seed=0).skipped == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_other_tags_do_not_affect_the_orientation(kind: str, order: str) -> None:
    expected = pixels(KINDS[kind](picture(), exif(orientation(6, order), order=order)))
    assert expected.shape == (24, 16)
    assert expected[2, 13] > 200 > 50 > expected[2, 2]
    for tag, type_, count in product(TAGS, TYPES, COUNTS):
        entry = (tag, type_, count, struct.pack(f"{order}I", 40))
        content = KINDS[kind](picture(), exif(orientation(6, order), entry, order=order))
        np.testing.assert_array_equal(pixels(content), expected, err_msg=f"{tag:#x} {type_} {count}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", range(1, 9))
def test_photos_are_rotated_as_by_pillow(kind: str, value: int) -> None:
    from PIL import ImageOps

    content = KINDS[kind](picture(), exif(orientation(value)))
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        np.testing.assert_array_equal(pixels(content), np.asarray(ImageOps.exif_transpose(opened).convert("L")))


@pytest.mark.parametrize(
    "entry",
    [
        orientation(0),
        orientation(9),
        orientation(65_535),
        (ORIENTATION, 2, 2, b"6\0\0\0"),
        (ORIENTATION, 2, 9, struct.pack("<I", 40)),
        (ORIENTATION, 5, 1, struct.pack("<I", 40)),
        (ORIENTATION, 12, 1, struct.pack("<I", 0xFFFFFF)),
        (ORIENTATION, 3, 0, struct.pack("<HH", 6, 0)),
        (ORIENTATION, 3, 0xFFFFFFFF, struct.pack("<HH", 6, 0)),
        (ORIENTATION, 99, 1, struct.pack("<HH", 6, 0)),
    ],
)
def test_an_invalid_orientation_is_ignored(entry: Entry) -> None:
    upright = pixels(saved(picture(), "PNG"))
    np.testing.assert_array_equal(pixels(in_png(picture(), exif(entry))), upright)


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_truncated_anywhere_are_accepted(kind: str) -> None:
    whole = exif((0x010F, 2, 40, struct.pack("<I", 40)), orientation(6))
    shapes = {pixels(KINDS[kind](picture(), whole[:length])).shape for length in range(len(whole))}
    assert shapes == {(16, 24), (24, 16)}


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II*\0\x08\0\0\0"]))
def test_arbitrary_metadata_are_accepted(content: bytes, head: bytes) -> None:
    assert sorted(pixels(in_jpeg(picture(), head + content)).shape) == [16, 24]
    assert sorted(pixels(in_png(picture(), head + content)).shape) == [16, 24]


def test_the_orientation_in_xmp_is_used_if_exif_has_none() -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + packet
    content = saved(picture(), "JPEG")
    content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + content[2:]
    assert pixels(content).shape == (24, 16)
