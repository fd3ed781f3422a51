"""Malformed and hostile image files are read correctly or refused with a reason; none aborts a batch."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import predict
from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES
from pipeline.errors import UnreadableError
from pipeline.images.decode import read_image
from pipeline.inference.image_inputs import find
from tests.faults.permissions import with_ordinary_permissions
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load
from tests.pipeline.sources.test_value_range import network

GRAYSCALE = ImageFormat(color_mode="grayscale")


def write_bad(folder: Path) -> list[Path]:
    """Write files that are not readable images."""
    folder.mkdir()
    Image.new("L", (4, 4), 250).save(folder / "good.ppm")
    (folder / "ppm.png").write_bytes((folder / "good.ppm").read_bytes())
    (folder / "good.ppm").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "whole.png")
    (folder / "cut.png").write_bytes((folder / "whole.png").read_bytes()[:2000])
    (folder / "whole.png").unlink()
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no image")
    (folder / "dead.png").symlink_to(folder / "nowhere")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    os.mkfifo(folder / "pipe.png")
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_no_bad_file_aborts_a_batch(tmp_path: Path) -> None:
    bad = write_bad(tmp_path / "bad")
    good = tmp_path / "good.png"
    Image.new("L", (4, 4), 250).save(good)
    (tmp_path / "folder.png").mkdir()
    names = [*map(str, bad), str(tmp_path / "folder.png"), "x" * 5000, "zero\0byte", str(good)]
    predictions = list(predict.predict(predict.load_network(str(network(tmp_path, BYTES))), find(names), 1))
    assert [bool(prediction.error) for prediction in predictions] == [True] * (len(names) - 1) + [False]
    assert predictions[-1].classes[0][0] == "bright"


@pytest.mark.slow
def test_files_that_raise_in_the_decoder_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("L", (4, 4), 9 + number).save(tmp_path / name / f"{number}.png")
    bad = write_bad(tmp_path / "bad")
    for path in bad:
        path.rename(tmp_path / "a" / path.name)
    (tmp_path / "bad").rmdir()
    source = load(data_params(source=f"images:{tmp_path}", on_unreadable="skip"), seed=0)
    assert len(source.skipped) == len(bad)
    assert len(source.parts["train"][1]) == 4

    def fail(self: Image.Image, *_: object) -> None:
        raise AttributeError("'IFDRational' object has no attribute 'encode'")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(UnreadableError, match=r"cannot be decoded.*IFDRational"):
        read_image(tmp_path / "a" / "0.png", "photo", ImageFormat(color_mode="rgb"))


def test_every_image_mode_is_read(tmp_path: Path) -> None:
    white = {"L": 255, "RGB": (255, 255, 255), "1": 1, "CMYK": (0, 0, 0, 0), "P": 0}
    for mode, value in white.items():
        image = Image.new(mode, (5, 3), value)
        if mode == "P":
            image.putpalette([255, 255, 255])
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        image.save(path)
        for image_format in (GRAYSCALE, ImageFormat(color_mode="rgb")):
            values = read_image(path, mode, image_format).values
            assert values.shape == (3, 5, image_format.channels)
            assert values.min() >= 253


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, kind: str) -> None:
    first, second = Image.new("L", (5, 3), 250), Image.new("L", (5, 3), 3)
    first.save(tmp_path / f"film.{kind}", save_all=True, append_images=[second])
    assert read_image(tmp_path / f"film.{kind}", "film", GRAYSCALE).values.min() > 240


def test_transparent_palette_pixels_are_black(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 255, 255, 255, 255, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "clear.png", transparency=0)
    assert read_image(tmp_path / "clear.png", "clear", GRAYSCALE).values.ravel().tolist() == [0, 255]


def test_images_of_one_pixel_and_of_fifty_megapixels_are_read(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 200).save(tmp_path / "pixel.png")
    Image.new("L", (10_000, 5_000), 200).save(tmp_path / "large.png")
    for name in ("pixel", "large"):
        values = read_image(
            tmp_path / f"{name}.png", name, ImageFormat(color_mode="grayscale", image_size=(4, 4))
        ).values
        np.testing.assert_array_equal(values, np.full((4, 4, 1), 200))


def test_a_file_without_read_permission_is_reported(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "secret.png").chmod(0)
    with pytest.raises(UnreadableError, match="permission denied"):
        with_ordinary_permissions(lambda: read_image(tmp_path / "secret.png", "secret", GRAYSCALE))


def test_a_rotated_photo_of_the_networks_size_causes_no_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    from pipeline.cnn.keras_file import save_model

    model = keras.Sequential([keras.Input((6, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    save_model(model, tmp_path / "model.keras", ("dark", "bright"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (6, 4), 9).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("L", (6, 4), 9).save(tmp_path / "lying.jpg")
    loaded = predict.load_network(str(tmp_path / "model.keras"))
    list(predict.predict(loaded, find([str(tmp_path / "turned.jpg")]), 1))
    assert capsys.readouterr().err == ""
    list(predict.predict(loaded, find([str(tmp_path / "lying.jpg")]), 1))
    assert "lying.jpg is 4×6 grayscale; such images are converted to 6×4 grayscale" in capsys.readouterr().err
