"""Images of another size are fitted by the declared policy."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.data.input_format import ImageFormat
from pipeline.errors import UserError
from pipeline.images.decode import read_image
from tests.pipeline.param_sections import data_params

# Four columns: black, white, white, black.
STRIPE = np.array([[0, 255, 255, 0]] * 2, np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def values(pixels: np.ndarray, size: tuple[int, int], **settings: object) -> np.ndarray:
    settings = {"color_mode": "grayscale", "interpolation": "nearest", "background": (100, 100, 100)} | settings
    found = read_image(png(pixels), "image", ImageFormat.model_validate({"image_size": size, **settings}))
    return found.values[..., 0] if found.values.shape[-1] == 1 else found.values


def test_stretch_fills_the_size_and_ignores_the_aspect_ratio() -> None:
    assert values(STRIPE, (4, 4), resize="stretch").tolist() == [[0, 255, 255, 0]] * 4


def test_pad_keeps_the_whole_image_and_centres_it_on_the_background() -> None:
    margin = [100] * 4
    assert values(STRIPE, (4, 4), resize="pad").tolist() == [margin, [0, 255, 255, 0], [0, 255, 255, 0], margin]
    assert values(STRIPE.T, (4, 4), resize="pad")[:, 0].tolist() == margin


def test_crop_keeps_the_central_part() -> None:
    assert values(STRIPE, (4, 4), resize="crop").tolist() == [[255] * 4] * 4
    assert values(STRIPE.T, (4, 4), resize="crop").tolist() == [[255] * 4] * 4


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_an_image_of_the_declared_size_is_unchanged(resize: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    assert (values(noise, (5, 7), resize=resize, interpolation="lanczos") == noise).all()


@pytest.mark.parametrize("resize", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 900), (900, 1), (3, 7), (7, 3), (333, 332)])
def test_every_aspect_ratio_fits(resize: str, shape: tuple[int, int]) -> None:
    for size in ((8, 8), (5, 9), (9, 5)):
        assert values(np.full(shape, 200, np.uint8), size, resize=resize).max() == 200


def test_the_margins_have_the_colour_of_the_background() -> None:
    found = values(STRIPE, (4, 4), resize="pad", color_mode="rgb", background=(200, 30, 10))
    assert found[0].tolist() == [[200, 30, 10]] * 4
    assert values(STRIPE, (4, 4), resize="pad", background=(200, 30, 10))[0].tolist() == [79] * 4  # ITU-R 601


def test_margins_of_sixteen_bit_images_have_the_grey_level_of_the_background() -> None:
    assert values(np.full((2, 4), 65_535, np.uint16), (4, 4), resize="pad")[:, 0].tolist() == [100, 255, 255, 100]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("interpolation", ["bicubic", "lanczos"])
def test_interpolations_that_overshoot_are_clipped(kind: type, interpolation: str) -> None:
    edge = np.zeros((2, 8), kind)
    edge[:, 4:] = np.iinfo(kind).max
    found = values(edge, (2, 40), interpolation=interpolation)
    assert np.diff(found[0].astype(int)).min() >= -60  # a value that wraps around would drop by more than 200
    assert (found.min(), found.max()) == (0, 255)


def test_interpolations_differ() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    found = {
        values(noise, (5, 5), interpolation=name).tobytes() for name in ("nearest", "bilinear", "bicubic", "lanczos")
    }
    assert len(found) == 4


def test_transparent_parts_are_composed_on_the_background() -> None:
    pixels = np.array([[[255, 0, 0, 0], [255, 0, 0, 255]]], np.uint8)
    assert values(pixels, (1, 2), color_mode="rgb", background=(9, 8, 7)).tolist() == [[[9, 8, 7], [255, 0, 0]]]


def test_a_background_must_be_a_colour_of_bytes() -> None:
    with pytest.raises(UserError, match=r"data: background.2: .*less than or equal to 255, got 256"):
        data_params(background=[0, 0, 256])


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpeg_files_are_decoded_at_a_reduced_scale_that_is_nearly_the_same(resize: str, orientation: int) -> None:
    rows, columns = np.mgrid[:600, :900]
    pixels = np.stack([rows * 255 / 599, columns * 255 / 899, 127 + 100 * np.sin(rows / 30)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95, exif=exif)
    image_format = ImageFormat(color_mode="rgb", image_size=(40, 50), resize=resize)
    found = read_image(content.getvalue(), "x.jpg", image_format)
    assert found.size == ((600, 900) if orientation == 1 else (900, 600))
    upright = np.asarray(Image.open(content)) if orientation == 1 else np.rot90(np.asarray(Image.open(content)), -1)
    whole = read_image(png(upright), "x.png", image_format).values
    difference = np.abs(found.values.astype(int) - whole.astype(int))
    assert difference.mean() < 1.0
    assert difference.max() <= 8
