"""Arrays of series and of volumes as a source."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import prepare
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.split import read_split
from pipeline.errors import UserError
from pipeline.params_file import ParamsError
from tests.pipeline.param_sections import data_params, params_with


def run(folder: Path, samples: np.ndarray, **changes: object) -> Dataset:
    """Prepare samples of two classes from an .npz file."""
    np.savez(folder / "mine.npz", x_train=samples, y_train=np.arange(len(samples)) % 2)
    data = data_params(source=f"npz:{folder / 'mine.npz'}", **changes)
    prepare.run(params_with(data=data, seed=1), prepare.Paths(folder / "prepared", folder / "reports"))
    return read_dataset(folder / "prepared" / "dataset.json")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("series", (30,), ("series", (30, 1))),
        ("series", (30, 4), ("series", (30, 4))),
        ("volume", (5, 6, 7), ("volume", (5, 6, 7, 1))),
        ("volume", (5, 6, 7, 2), ("volume", (5, 6, 7, 2))),
        ("auto", (5, 6, 7, 2), ("volume", (5, 6, 7, 2))),
        ("auto", (6, 7), ("image", (6, 7, 1))),
        ("image", (6, 7, 3), ("image", (6, 7, 3))),
    ],
)
def test_arrays_have_the_declared_kind(
    kind: str, given: tuple[int, ...], expected: tuple[str, tuple[int, ...]], tmp_path: Path
) -> None:
    dataset = run(tmp_path, noise(*given), kind=kind)
    assert (dataset.kind, dataset.input_shape) == expected
    assert read_split(tmp_path / "prepared" / "train", "train").images.shape[1:] == expected[1]
    assert (tmp_path / "reports" / "samples.png").stat().st_size > 2000


def test_the_channels_of_a_series_may_come_first(tmp_path: Path) -> None:
    samples = noise(3, 50)
    dataset = run(tmp_path, samples, kind="series", channels="first")
    assert dataset.input_shape == (50, 3)
    assert dataset.mean == pytest.approx(
        read_split(tmp_path / "prepared" / "train", "train").images.mean(axis=(0, 1)), abs=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("auto", (30,), r"got \(40, 30\); set data\.kind: series if each row is a series"),
        ("series", (3, 50), r"series of train must have shape \(n, time, channels\).*seems to have 3 channels first"),
        ("volume", (3, 8, 9, 10), r"seems to have 3 channels first.*if a volume is 3×8×9 with 10 channels"),
        ("volume", (8, 9), r"volumes of train must have shape \(n, depth, height, width, channels\), or without"),
        ("image", (3, 8, 9, 10), r"images of train must have shape \(n, height, width, channels\), or without"),
    ],
)
def test_arrays_of_another_shape_are_refused(kind: str, shape: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, noise(*shape), kind=kind)


def test_series_have_no_black_and_white(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, noise(30), kind="series").value_range is None
    printed = capsys.readouterr().out
    assert "series of 30×1; train 24, val 8, test 8" in printed
    assert "image" not in printed
    with pytest.raises(UserError, match=r"data\.value_range: declares black and white of images and volumes"):
        run(tmp_path, noise(30), kind="series", value_range=[-5.0, 5.0])


def test_a_source_that_determines_the_kind_refuses_another_one() -> None:
    with pytest.raises(ParamsError, match=r"kind declares what arrays contain .*got kind: series with source: digits"):
        data_params(kind="series")
