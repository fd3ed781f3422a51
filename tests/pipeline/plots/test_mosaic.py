"""Mosaics of small images, read back from the saved file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.dataset import Kind
from pipeline.params import Block, Head
from pipeline.plots.figure import save_figure
from pipeline.plots.interpretation import draw_receptive_fields
from pipeline.plots.mosaic import Mosaic


def rendered(mosaic: Mosaic, folder: Path) -> np.ndarray:
    save_figure(mosaic.figure(), folder / "mosaic.png")
    with Image.open(folder / "mosaic.png") as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_images_keep_their_pixels_and_aspect_ratio_within_their_tiles(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 2, side=40, lines=0)
    mosaic.image(0, 0, np.array([[0, 255], [51, 102]])[..., None], 0, 255)
    wide = np.zeros((2, 4, 3))
    wide[..., 0] = 1.0
    mosaic.image(0, 1, wide, 0, 1)
    shown = rendered(mosaic, tmp_path)
    left, top, step = 6, 8, 48  # margins, and a tile including its gap
    corners = [shown[top + row, left + column].tolist() for row in (5, 30) for column in (5, 30)]
    assert corners == [[0] * 3, [255] * 3, [51] * 3, [102] * 3]
    assert (shown[top : top + 20, left + step : left + step + 40] == [255, 0, 0]).all()
    assert (shown[top + 20 : top + 40, left + step : left + step + 40] == 255).all()


def test_an_image_larger_than_its_tile_is_downsampled_by_averaging(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 1, side=20, lines=0)
    mosaic.image(0, 0, np.indices((80, 80)).sum(axis=0)[..., None] % 2, 0, 1)  # a fine checkerboard
    assert set(np.unique(rendered(mosaic, tmp_path)[8:28, 6:26])) <= {127, 128}


def test_a_symmetric_map_is_red_above_0_and_blue_below(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 1, side=30, lines=0)
    mosaic.heat(0, 0, np.array([[2.0, 0.0, -1.0]]), symmetric=True)
    red, white, blue = (rendered(mosaic, tmp_path)[8 + 5, 6 + column] for column in (5, 15, 25))
    assert red[0] > 60 + red[2]
    assert white.min() > 230
    assert blue[2] > 40 + blue[0]


@pytest.mark.parametrize("values", [np.zeros((5, 1)), np.zeros((3, 4, 4, 1)), np.zeros((4, 4, 2))])
def test_series_volumes_and_other_channel_counts_are_drawn(values: np.ndarray, tmp_path: Path) -> None:
    mosaic = Mosaic(2, 1, side=40, heading="$x$ is <no> formula")
    mosaic.image(0, 0, values, -1, 1, "a title", "left")
    mosaic.heat(1, 0, values[..., 0])
    shown = rendered(mosaic, tmp_path)
    assert (shown < 250).any()
    assert shown.shape[0] > shown.shape[1]


def test_a_frame_is_drawn_at_its_position(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 1, side=100, lines=0)
    mosaic.image(0, 0, np.ones((10, 10, 1)), 0, 1)
    mosaic.frame(0, 0, (2, 5), (4, 3), 10)
    rows, columns = np.nonzero((rendered(mosaic, tmp_path)[8:108, 6:106] != 255).any(axis=-1))
    assert (rows.min(), rows.max()) == (pytest.approx(50, abs=2), pytest.approx(80, abs=2))
    assert (columns.min(), columns.max()) == (pytest.approx(20, abs=2), pytest.approx(60, abs=2))


def test_time_in_a_spectrogram_goes_to_the_right_and_the_lowest_band_is_at_the_bottom(tmp_path: Path) -> None:
    spectrogram = np.ones((4, 2, 1))  # 4 time steps of 2 bands
    spectrogram[0, 0] = 0.0  # the first time step of the lowest band
    mosaic = Mosaic(1, 2, side=40, lines=0, kind="audio")
    mosaic.image(0, 0, spectrogram, 0, 1)
    mosaic.heat(0, 1, spectrogram[..., 0])
    shown = rendered(mosaic, tmp_path)
    black = np.argwhere((shown[8:48, 6:46] == 0).all(axis=-1))
    assert black.min(axis=0).tolist() == [10, 0]
    assert black.max(axis=0).tolist() == [19, 9]
    map_of_audio = shown[8:28, 54:94]
    assert (map_of_audio[12, 5] != map_of_audio[12, 35]).any()
    assert (map_of_audio[2, 5] == map_of_audio[12, 35]).all()


def test_a_saliency_map_of_a_series_is_a_curve_over_the_series(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 1, side=100, lines=0)
    mosaic.heat(0, 0, np.linspace(0, 1, 50), under=np.stack([np.zeros(50), np.ones(50)], axis=-1))
    shown = rendered(mosaic, tmp_path)[8:108, 6:106]
    reddish = np.argwhere(shown[..., 0] > shown[..., 2] + 60)
    assert np.corrcoef(-reddish[:, 0], reddish[:, 1])[0, 1] > 0.99  # the curve rises
    grey = (np.ptp(shown, axis=-1) < 20) & (shown.max(axis=-1) < 200)
    assert grey[:3].any()
    assert grey[-3:].any()


def test_a_symmetric_map_of_a_series_is_red_above_its_zero_line_and_blue_below_it(tmp_path: Path) -> None:
    mosaic = Mosaic(1, 1, side=100, lines=0)
    mosaic.heat(0, 0, np.repeat([1.0, -0.5], 25), symmetric=True)
    shown = rendered(mosaic, tmp_path)[8:108, 6:106].astype(int)
    red = np.argwhere(shown[..., 0] > shown[..., 2] + 60)
    blue = np.argwhere(shown[..., 2] > shown[..., 0] + 60)
    assert red[:, 0].min() < 3
    assert red[:, 0].max() <= 51
    assert blue[:, 0].min() >= 48
    assert red[:, 1].max() < 55
    assert blue[:, 1].min() > 45
    assert 70 < blue[:, 0].max() < 80


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [("series", (20, 1), (0.4, 0.6, 0.0, 1.0)), ("audio", (20, 10, 1), (0.4, 0.6, 0.1, 0.4)),
     ("volume", (5, 10, 20, 1), (0.4, 0.6, 0.1, 0.4))],
)  # fmt: skip
def test_a_receptive_field_is_framed_in_each_kind(
    kind: Kind, shape: tuple[int, ...], expected: tuple[float, ...], tmp_path: Path
) -> None:
    rank = len(shape) - 1
    extents = {1: (4,), 2: (4, 6), 3: (3, 6, 4)}
    block = Block.model_validate({"filters": 2, "kernel_size": extents[rank], "pooling": "none"})
    architecture = Architecture(input_shape=shape, classes=2, blocks=(block,), head=Head(kind="global_max"))
    first = [entry for entry in compute_geometry(architecture).layers if entry.layer.extent][:1]
    save_figure(draw_receptive_fields(np.zeros(shape), first, (-1.0, 1.0), kind), tmp_path / "fields.png")
    with Image.open(tmp_path / "fields.png") as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    rows, columns = np.nonzero(shown[..., 0] > shown[..., 2] + 60)
    left, right = (columns.min() - 6) / 160, (columns.max() - 6) / 160
    top, bottom = (rows.min() - 38) / 160, (rows.max() - 38) / 160
    assert (left, right, top, bottom) == pytest.approx(expected, abs=0.03)
