"""Volumes as inputs of a network: files and base64, fitted as in training."""

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import predict
from pipeline.data.volume_format import VolumeFormat
from pipeline.inference.classifier import read_classifier
from pipeline.inference.image_inputs import ImageInput, find
from pipeline.inference.outliers import read_outliers
from pipeline.inference.read_input import slices_of, suffixes_of
from tests.installed import NEEDS_NIBABEL
from tests.pipeline.inference.test_signal_inputs import high, save_network, served
from tests.pipeline.volumes.files import write_nifti

PADDED = VolumeFormat(shape=(2, 4, 4), resize="center", fill=1.0)


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_files_are_fitted_as_declared_in_predict_and_when_served(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = save_network(tmp_path, PADDED, (2, 4, 4, 1), None)
    assert read_classifier(network).input_format == PADDED
    for name, values in {"up": np.ones((2, 4, 4)), "down": -np.ones((2, 4, 4)), "small": -np.ones((2, 2, 1))}.items():
        np.save(tmp_path / f"{name}.npy", values)
    (tmp_path / "bad.npy").write_bytes(b"no volume")
    np.save(tmp_path / "two.npy", np.ones((2, 4, 4, 2)))
    files = [tmp_path / f"{name}.npy" for name in ("up", "down", "small", "bad", "two")]
    *numbers, bad, two = high(network, *files)
    assert numbers == [0.88, 0.12, 0.88]
    assert "bad.npy: must be a volume (.nii, .nii.gz, .npy), got another format" in str(bad)
    assert "two.npy: must have 1 channel, like the training data, got 2" in str(two)
    assert "small.npy is 2×2×1; such volumes are converted to 2×4×4 (center), as in training" in capfd.readouterr().err
    assert served(network, [base64.b64encode(each.read_bytes()).decode() for each in files[:3]]) == numbers
    assert served(network, [np.ones((2, 4, 4)).tolist()]) == [0.88]


@NEEDS_NIBABEL
@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_nifti_files_are_accepted(tmp_path: Path) -> None:
    network = save_network(tmp_path, PADDED, (2, 4, 4, 1), None)
    files = [write_nifti(tmp_path / "up.nii.gz", np.ones((4, 4, 2), np.float32)),
             write_nifti(tmp_path / "down.nii", -np.ones((4, 4, 2), np.float32))]  # fmt: skip
    assert high(network, *files) == [0.88, 0.12]
    assert served(network, [base64.b64encode(each.read_bytes()).decode() for each in files]) == [0.88, 0.12]


def test_volumes_are_taken_from_a_folder(tmp_path: Path) -> None:
    for name in ("a.nii", "b.nii.GZ", "c.npy", "d.png", "e.gz"):
        (tmp_path / name).touch()
    found = find([str(tmp_path)], suffixes_of(PADDED, (2, 4, 4, 1)))
    assert [Path(each.name).name for each in found] == ["a.nii", "b.nii.GZ", "c.npy"]


def write_slices(folder: Path, level: int, count: int = 3, size: tuple[int, int] = (4, 4)) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("L", size, level).save(folder / f"{number}.png")
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
def test_folders_of_slices_are_inputs(tmp_path: Path) -> None:
    form = VolumeFormat(shape=(2, 4, 4), resize="stretch", fill=0.0)
    network = save_network(tmp_path, form, (2, 4, 4, 1), None, limit=0.5)
    bright = write_slices(tmp_path / "volumes" / "bright", 255)
    dark = write_slices(tmp_path / "volumes" / "dark", 0)
    several = write_slices(tmp_path / "several", 0)
    Image.new("L", (5, 4)).save(several / "3.png")
    mixed = write_slices(tmp_path / "mixed", 0)
    (mixed / "notes.txt").touch()
    found = list(find([str(tmp_path / "volumes")], suffixes_of(form, (2, 4, 4, 1)), slices_of(form)))
    assert [each.name for each in found] == [str(bright), str(dark)]
    inputs = [*found, *(ImageInput(str(folder)) for folder in (several, mixed))]
    one, other, sizes, notes = predict.predict(predict.load_network(str(network)), inputs, 1)
    assert (one.classes[0][0], other.classes[0][0]) == ("high", "low")
    assert "several: slices must have one size, got 4×4 and 4×5 in 3.png" in sizes.error
    assert "a folder of slices must contain only slices, got notes.txt" in notes.error


def test_volumes_next_to_pictures_are_not_slices(tmp_path: Path) -> None:
    for name in ("a.nii", "preview.png"):
        (tmp_path / name).touch()
    found = find([str(tmp_path)], suffixes_of(PADDED, (2, 4, 4, 1)), slices_of(PADDED))
    assert [Path(each.name).name for each in found] == ["a.nii"]


def test_folders_of_slices_may_be_outliers(tmp_path: Path) -> None:
    for name, level in (("dark", 0), ("bright", 255)):
        write_slices(tmp_path / "outliers" / name, level, count=2)
    found = read_outliers(tmp_path / "outliers", (2, 4, 4, 1), None, PADDED)
    assert found.shape == (2, 2, 4, 4, 1)
    assert sorted(found.mean(axis=(1, 2, 3, 4)).tolist()) == [0.0, 1.0]
