"""Mosaics of small images, read back from the saved file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.plots.figure import save_figure
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
