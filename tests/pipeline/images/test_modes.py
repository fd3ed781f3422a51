"""Every way to store colours in an image file has one policy, the one that docs/data.md states."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, TiffImagePlugin, features

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UnreadableError
from pipeline.images.decode import DecodedImage, read_image
from pipeline.images.file_formats import HEADER, is_image
from tests.installed import NEEDS_HEIF

GRAY, RGB = ImageFormat(color_mode="grayscale"), ImageFormat(color_mode="rgb")
ON_WHITE = ImageFormat(color_mode="rgb", background=(255, 255, 255))
UNIT = ValueRange(sixteen_bit=(0.0, 1.0))
HEIF = Path(__file__).parent / "cases" / "turned.heic"
NOISE = np.random.default_rng(0).integers(0, 65_536, (5, 7, 4), dtype=np.uint16)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def deep_png(values: np.ndarray, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG file with 16 bits per value, which Pillow cannot write in colour."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    clear = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + head + clear + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_tiff(values: np.ndarray, order: str = "<", compressed: bool = False, planar: int = 1) -> bytes:
    """A TIFF file with one strip of 16-bit values."""
    height, width, channels = values.shape
    stored = values if planar == 1 else values.transpose(2, 0, 1)
    strip = stored.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if compressed else strip
    mark = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    alpha = [(338, 3, 1, 2)] if channels == 4 else []  # unassociated
    bits = 8 + 2 + 12 * (10 + len(alpha)) + 4
    after = bits + 2 * channels
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, bits), (259, 3, 1, 8 if compressed else 1),
        (262, 3, 1, 2), (273, 4, 1, after), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(strip)),
        (284, 3, 1, planar), *alpha,
    ]  # fmt: skip
    packed = b""
    for tag, kind, count, value in entries:
        short = kind == 3 and count == 1
        packed += struct.pack(f"{order}HHI", tag, kind, count)
        packed += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    words = struct.pack(f"{order}{channels}H", *([16] * channels))
    return mark + struct.pack(f"{order}H", len(entries)) + packed + bytes(4) + words + strip


def set_tag(content: bytearray, tag: int, value: int) -> None:
    """Change the number in a tag of a little-endian TIFF file."""
    struct.pack_into("<HIHH", content, content.index(struct.pack("<H", tag), 8) + 2, 3, 1, value, 0)


def read(content: bytes, image_format: ImageFormat = RGB, value_range: ValueRange = BYTES) -> DecodedImage:
    return read_image(content, "image", image_format, value_range)


def first(content: bytes, image_format: ImageFormat = RGB, value_range: ValueRange = BYTES) -> list[int]:
    """The first pixel."""
    return read(content, image_format, value_range).values[0, 0].tolist()


def near(expected: np.ndarray) -> np.ndarray:
    """16-bit values scaled to 8 bits."""
    return np.rint(expected / 257).astype(np.uint8)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(file_format: str) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert read(saved(image, file_format), GRAY).values.ravel().tolist() == [0, 255]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_alpha_is_composed_on_the_background(file_format: str) -> None:
    options = {"lossless": True, "quality": 100} if file_format in ("WEBP", "AVIF") else {}
    half = saved(Image.new("RGBA", (8, 8), (200, 0, 0, 128)), file_format, **options)
    assert first(half) == pytest.approx([100, 0, 0], abs=3)
    assert first(half, ON_WHITE) == pytest.approx([227, 127, 127], abs=3)
    assert read(half).converted == ("transparency composed",)


def test_gray_with_alpha_is_composed_on_the_background() -> None:
    content = saved(Image.new("LA", (2, 2), (200, 51)), "PNG")
    assert first(content, GRAY) == [40]
    assert first(content, ON_WHITE) == [244] * 3
    assert read(content, GRAY).color_mode == "grayscale"


@pytest.mark.parametrize("transparency", [0, bytes([0, 255])])
def test_transparent_entries_of_a_palette_are_composed_on_the_background(transparency: object) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    content = saved(image, "PNG", transparency=transparency)
    assert read(content, ON_WHITE).values.tolist() == [[[255, 255, 255], [0, 255, 0]]]
    assert read(content).converted == ("transparency composed", "P to RGB")


def test_a_transparent_colour_is_composed_on_the_background() -> None:
    content = saved(Image.new("RGB", (2, 2), (9, 8, 7)), "PNG", transparency=(9, 8, 7))
    assert first(content, ON_WHITE) == [255, 255, 255]


def ink(profile: bytes | None = None) -> dict[str, bytes]:
    """CMYK files of pure cyan ink, by format."""
    image, options = Image.new("CMYK", (16, 16), (255, 0, 0, 0)), {"icc_profile": profile} if profile else {}
    return {"JPEG": saved(image, "JPEG", quality=100, **options), "TIFF": saved(image, "TIFF", **options)}


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_inks_are_converted_without_a_profile(file_format: str) -> None:
    found = read(ink()[file_format])
    assert found.values[0, 0].tolist() == pytest.approx([0, 255, 255], abs=2)
    assert (found.mode, found.color_mode, found.converted) == ("CMYK", "rgb", ("CMYK to RGB",))


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_an_embedded_profile_changes_nothing(file_format: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(io.BytesIO(ink(profile)[file_format])) as opened:
        assert opened.info["icc_profile"] == profile
    assert (read(ink(profile)[file_format]).values == read(ink()[file_format]).values).all()


def test_inverted_inks_of_adobe_are_recognized() -> None:
    """Pillow stores inks inverted with Adobe's marker, as Photoshop does."""
    content = ink()["JPEG"]
    assert b"Adobe" in content
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.tile[0].args[0] == "CMYK;I"
    assert first(content) == pytest.approx([0, 255, 255], abs=2)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_of_either_byte_order_are_scaled_by_their_depth(order: str) -> None:
    values = NOISE[..., 0]
    mode = "I;16" if order == "<" else "I;16B"
    content = saved(Image.frombytes(mode, (7, 5), values.astype(f"{order}u2").tobytes()), "TIFF")
    found = read(content, GRAY)
    assert (found.values[..., 0] == near(values)).all()
    assert (found.mode, found.sixteen_bit) == (mode, (int(values.min()), int(values.max())))
    assert (read(saved(Image.fromarray(values), "PNG"), GRAY).values == found.values).all()


def test_white_is_zero_is_inverted() -> None:
    for image in (Image.new("L", (2, 2), 10), Image.fromarray(np.full((2, 2), 2570, np.uint16))):
        content = bytearray(saved(image, "TIFF"))
        set_tag(content, 262, 0)
        assert first(bytes(content), GRAY) == [245]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "write",
    [
        deep_png,
        deep_tiff,
        lambda values: deep_tiff(values, ">"),
        lambda values: deep_tiff(values, "<", compressed=True),
        lambda values: deep_tiff(values, ">", compressed=True),
    ],
    ids=["png", "tiff", "tiff, big-endian", "tiff, compressed", "tiff, compressed, big-endian"],
)
def test_all_sixteen_bits_of_colours_are_used(channels: int, write) -> None:
    values = NOISE[..., :channels].copy()
    found = read(write(values), ON_WHITE)
    alpha = values[..., 3:] / 65_535 if channels == 4 else 1.0
    expected = values[..., :3] * alpha + 65_535 * (1 - alpha)
    assert np.abs(found.values.astype(int) - np.rint(expected / 257)).max() <= (channels == 4)
    assert found.sixteen_bit == (int(values[..., :3].min()), int(values[..., :3].max()))
    assert (found.mode, found.color_mode) == (("RGB;16", "rgb") if channels == 3 else ("RGBA;16", "rgb"))


def test_sixteen_bit_colours_are_scaled_from_the_declared_range() -> None:
    content = deep_png(np.full((2, 2, 3), [0, 2048, 4095], np.uint16))
    assert first(content, RGB, ValueRange(sixteen_bit=(0.0, 4095.0))) == [0, 128, 255]
    assert first(content, GRAY, ValueRange(sixteen_bit=(0.0, 4095.0))) == [104]


def test_sixteen_bit_gray_with_alpha_is_composed_on_the_background() -> None:
    content = deep_png(np.full((2, 2, 2), [65_535, 32_768], np.uint16))
    found = read(content, GRAY)
    assert (found.values[0, 0].tolist(), found.mode, found.color_mode) == ([128], "LA;16", "grayscale")
    assert first(content, ON_WHITE) == [255] * 3


def test_transparent_sixteen_bit_gray_is_composed_on_a_coloured_background() -> None:
    content = saved(Image.fromarray(np.full((2, 2), 50_000, np.uint16)), "PNG", transparency=50_000)
    found = read(content, ImageFormat(color_mode="rgb", background=(200, 100, 50)))
    assert found.values[0, 0].tolist() == [200, 100, 50]


def test_a_transparent_sixteen_bit_colour_is_composed_on_the_background() -> None:
    values = np.full((1, 2, 3), [5000, 6000, 7000], np.uint16)
    values[0, 1, 2] += 1  # another colour with the same high byte
    found = read(deep_png(values, (5000, 6000, 7000)), ON_WHITE).values
    assert found.tolist() == [[[255] * 3, near(values[0, 1]).tolist()]]


def test_sixteen_bits_in_separate_planes_are_refused() -> None:
    with pytest.raises(UnreadableError, match="several channels that are stored in separate planes, got 16 bits"):
        read(deep_tiff(NOISE[..., :3], planar=2))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_wide_values_need_a_declared_range(kind: type) -> None:
    values = (np.arange(12).reshape(3, 4) * 10).astype(kind)
    content = saved(Image.fromarray(values), "TIFF")
    with pytest.raises(UnreadableError, match=r"values from 0 to 110, whose black and white are unknown; set data\."):
        read(content, GRAY)
    found = read(content, GRAY, ValueRange(sixteen_bit=(0.0, 110.0)))
    assert (found.values[..., 0] == np.rint(values / 110 * 255)).all()
    assert found.sixteen_bit == (0, 110)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_floating_point_values_must_be_finite(bad: float) -> None:
    values = np.full((3, 4), 0.5, np.float32)
    values[1, 2] = values[2, 0] = bad
    with pytest.raises(UnreadableError, match="got 2 NaN or infinite values, the first one at row 1, column 2;"):
        read(saved(Image.fromarray(values), "TIFF"), GRAY, UNIT)


def test_a_mode_without_a_policy_is_refused() -> None:
    with pytest.raises(UnreadableError, match="must be grey, RGB or CMYK, got the colour mode LAB; convert it to RGB"):
        read(saved(Image.new("LAB", (2, 2)), "TIFF"))


def test_the_first_page_of_a_tiff_is_read() -> None:
    pages = [Image.new("L", (5, 3), value) for value in (250, 3)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    found = read(content, GRAY)
    assert (found.values == 250).all()
    assert found.converted == ("first frame",)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_formats_are_turned_upright(file_format: str, orientation: int) -> None:
    image = Image.new("RGB", (64, 32))
    ImageDraw.Draw(image).rectangle((0, 0, 15, 15), fill="white")
    found, jpeg = (read(saved(image, each, exif=exif_of(orientation)), GRAY) for each in (file_format, "JPEG"))
    assert found.size == jpeg.size == ((32, 64) if orientation < 5 else (64, 32))
    assert np.abs(found.values.astype(int) - jpeg.values).max() < 80


def test_a_tag_of_an_odd_type_in_a_tiff_is_ignored() -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[0x0112] = 6
    content = bytearray(saved(Image.new("L", (24, 16), 9), "TIFF", tiffinfo=info, software="abc"))
    place = content.index(struct.pack("<HHI", 305, 2, 4))
    content[place : place + 4] = struct.pack("<HH", 305, 5)
    assert read(bytes(content), GRAY).values.shape == (24, 16, 1)


@pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow does not read AVIF")
def test_avif_is_read() -> None:
    found = read(saved(Image.new("RGB", (16, 16), (200, 30, 30)), "AVIF", quality=95))
    assert found.values[0, 0].tolist() == pytest.approx([200, 30, 30], abs=4)
    assert found.file_format == "AVIF"


@NEEDS_HEIF
def test_heif_is_read_and_turned_upright() -> None:
    found = read(HEIF.read_bytes(), GRAY)
    assert (found.size, found.file_format) == ((64, 32), "HEIF")
    assert found.values[4, -5].item() > 200 > 50 > found.values[4, 4].item()


def test_a_missing_package_for_heif_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(UnreadableError, match=r'needs the Python package pillow-heif.*EXTRAS="heif"'):
        read(HEIF.read_bytes())


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF"])
def test_a_file_is_recognized_by_its_content(tmp_path: Path, file_format: str) -> None:
    (tmp_path / "wrong.dat").write_bytes(saved(Image.new("RGB", (16, 16), (250, 250, 250)), file_format))
    found = read_image(tmp_path / "wrong.dat", "image", RGB)
    assert (found.values.min() > 240, found.file_format) == (True, file_format)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF"])
def test_an_image_on_standard_input_is_told_from_a_list_of_names(file_format: str) -> None:
    assert is_image(saved(Image.new("RGB", (16, 16)), file_format)[:HEADER])
    assert not is_image(b"BMW.png\nRIFF.png\nII.png\n")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF"])
def test_a_truncated_file_is_refused(file_format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise), file_format)
    for share in (0.02, 0.3, 0.7):
        with pytest.raises(UnreadableError, match=r"truncated or damaged|got another format"):
            read(content[: int(len(content) * share)])


def bomb(file_format: str) -> bytes:
    """A small file whose header declares an image of gigabytes."""
    if file_format == "PNG":
        return (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        )  # fmt: skip
    content = bytearray(saved(Image.new("L", (256, 512)), file_format))
    if file_format == "BMP":
        struct.pack_into("<ii", content, 18, 60_000, 60_000)
    elif file_format == "TIFF":
        set_tag(content, 256, 60_000)
        set_tag(content, 257, 60_000)
    elif file_format == "GIF":
        struct.pack_into("<HH", content, 6, 60_000, 60_000)
    else:
        place = content.index(struct.pack(">HH", 512, 256))
        struct.pack_into(">HH", content, place, 60_000, 60_000)
    return bytes(content)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "GIF", "TIFF"])
def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(UnreadableError, match="must have at most 89,478,485 pixels, got 3,600,000,000; scale it down"):
        read(bomb(file_format))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # another package may have changed Pillow's own limit
    with pytest.raises(UnreadableError, match="must have at most 89,478,485 pixels, got 3,600,000,000; scale it down"):
        read(bomb(file_format))
