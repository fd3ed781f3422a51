from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import prepare
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UserError
from pipeline.sources.source import Source
from pipeline.volumes.read_volume import read_volume
from pipeline.volumes.slices import missing_slices, natural_order, read_slices
from tests.installed import NEEDS_NIBABEL
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.sources.loading import load
from tests.pipeline.volumes.files import ramp, write_nifti


def loaded(folder: Path, shape: tuple[int, int, int] | None = None, resize: str = "center", **more: Any) -> Source:
    volume = {"shape": shape, "resize": resize, "fill": -1.0}
    return load(data_params(source=f"volumes:{folder}", volume=volume, **more), seed=0)


def write_npy(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def write_slices(folder: Path, values: np.ndarray, ending: str = "png") -> None:
    """Write slices; with more than ten, their order by name is not that of their numbers."""
    folder.mkdir(parents=True)
    for number, values_of_slice in enumerate(values):
        Image.fromarray(values_of_slice).save(folder / f"slice {number}.{ending}")


def two_classes(folder: Path) -> Path:
    for name in ("cat", "dog"):
        for number in range(3):
            write_npy(folder / name / f"{number}.npy", ramp(3, 4, 5) + number)
    return folder


def test_files_are_volumes_of_the_class_of_their_folder(tmp_path: Path) -> None:
    source = loaded(two_classes(tmp_path))
    volumes, labels = source.parts["train"]
    assert (source.kind, source.classes) == ("volume", ("cat", "dog"))
    assert (volumes.shape, volumes.dtype, len(volumes)) == ((6, 3, 4, 5, 1), np.float32, 6)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.names["train"][:2] == ["cat/0.npy", "cat/1.npy"]
    np.testing.assert_array_equal(volumes[np.array([1, 5])][..., 0], [ramp(3, 4, 5) + 1, ramp(3, 4, 5) + 2])
    assert source.input_format == VolumeFormat(shape=None, resize="center", fill=-1.0)


@NEEDS_NIBABEL
def test_nifti_files_and_given_splits_are_read(tmp_path: Path) -> None:
    for split, count in (("train", 2), ("test", 1)):
        for name in ("a", "b"):
            for number in range(count):
                write_nifti(tmp_path / split / name / f"{number}.nii.gz", ramp(4, 3, 2))
    source = loaded(tmp_path)
    assert {split: rows.shape for split, (rows, _) in source.parts.items()} == {
        "train": (4, 2, 3, 4, 1),
        "test": (2, 2, 3, 4, 1),
    }


def test_a_folder_of_slices_is_a_volume_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (12, 5, 4), np.uint8)
    for name in ("a", "b"):
        for number in range(2):
            write_slices(tmp_path / name / f"scan {number}", values + number)
    source = loaded(tmp_path)
    volumes, labels = source.parts["train"]
    assert volumes.shape == (4, 12, 5, 4, 1)
    np.testing.assert_allclose(volumes[1:2][0, ..., 0], (values + 1).astype(np.uint8) / 255, atol=1e-6)
    assert source.names["train"] == ["a/scan 0", "a/scan 1", "b/scan 0", "b/scan 1"]
    assert labels.tolist() == [0, 0, 1, 1]


def test_slices_keep_all_of_their_bits(tmp_path: Path) -> None:
    values = np.array([[[0, 1000, 65535]], [[1, 2, 3]]], np.uint16)
    for name in ("a", "b"):
        write_slices(tmp_path / name / "scan", values)
    volumes, _ = loaded(tmp_path).parts["train"]
    np.testing.assert_allclose(volumes[:1][0, ..., 0], values / 65535, rtol=1e-5)


def test_volumes_of_several_shapes_are_fitted_as_declared(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_npy(tmp_path / name / "small.npy", np.ones((2, 4, 2)))
        write_npy(tmp_path / name / "large.npy", np.ones((6, 6, 6)))
        write_slices(tmp_path / name / "slices", np.full((3, 2, 2), 255, np.uint8))
    volumes, _ = loaded(tmp_path, shape=(4, 4, 4)).parts["train"]
    assert volumes.shape == (6, 4, 4, 4, 1)
    source = loaded(tmp_path, shape=(4, 4, 4))
    assert {(each.size, each.format, each.converted) for each in source.files} == {
        ((6, 6, 6), "NPY", ("resized to 4×4×4 (center)",)),
        ((2, 4, 2), "NPY", ("resized to 4×4×4 (center)",)),
        ((3, 2, 2), "PNG", ("resized to 4×4×4 (center)",)),
    }
    inside = [(each >= 0).sum() for each in volumes[:3]]
    assert inside == [4 * 4 * 4, 3 * 2 * 2, 2 * 4 * 2]  # large.npy, slices, small.npy


def test_several_shapes_without_a_declared_one_are_refused(tmp_path: Path) -> None:
    two_classes(tmp_path)
    write_npy(tmp_path / "dog/3.npy", ramp(2, 4, 5))
    with pytest.raises(
        UserError, match=r"volumes must have the same shape, got 3×4×5 \(6\), 2×4×5 \(1\); set data\.volume\.shape"
    ):
        loaded(tmp_path)


def test_unreadable_files_are_listed_or_skipped(tmp_path: Path) -> None:
    two_classes(tmp_path)
    (tmp_path / "cat/cut.npy").write_bytes((tmp_path / "cat/0.npy").read_bytes()[:-4])
    write_npy(tmp_path / "dog/nan.npy", np.full((3, 4, 5), np.nan))
    (tmp_path / "dog/notes.txt").write_text("no volume")
    with pytest.raises(UserError) as caught:
        loaded(tmp_path)
    assert "3 of 9 files are not readable" in str(caught.value)
    assert "nan.npy: values must be finite, got nan at depth 0, row 0, column 0" in str(caught.value)
    source = loaded(tmp_path, on_unreadable="skip")
    assert source.skipped == ("cat/cut.npy", "dog/nan.npy", "dog/notes.txt")
    assert len(source.parts["train"][0]) == 6
    assert [each.file for each in source.files if each.status == "skipped"] == list(source.skipped)
    assert len(source.files) == 9


def test_a_volume_without_one_of_its_slices_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write_slices(tmp_path / name / f"scan {number}", np.zeros((3, 5, 4), np.uint8) + number)
    (tmp_path / "a/scan 1/slice 2.png").write_bytes(b"damaged")
    source = loaded(tmp_path, on_unreadable="skip")
    assert source.names["train"] == ["a/scan 0", "b/scan 0", "b/scan 1"]
    assert source.skipped == ("a/scan 1/slice 2.png",)
    left_out = {each.file: each.reason for each in source.files if each.status == "skipped"}
    assert left_out["a/scan 1"] == "its slice slice 2.png cannot be read"
    assert set(left_out) == {"a/scan 1", "a/scan 1/slice 2.png"}
    for place in ("a/scan 0", "b/scan 0", "b/scan 1"):
        (tmp_path / place / "slice 2.png").write_bytes(b"damaged")
    with pytest.raises(
        UserError, match=r"complete volumes, got 4 without all slices: a/scan 0: its slice slice 2.png "
    ):
        loaded(tmp_path, on_unreadable="skip")


def test_a_volume_with_a_gap_between_its_slices_is_refused_or_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(2):
            write_slices(tmp_path / name / f"scan {number}", np.zeros((8, 5, 4), np.uint8) + number)
    for number in (2, 5, 6):
        (tmp_path / f"b/scan 0/slice {number}.png").unlink()
    with pytest.raises(
        UserError, match="1 volume without all slices:\n  b/scan 0: it has no slice with number 2, 5 to 6"
    ):
        loaded(tmp_path)
    source = loaded(tmp_path, on_unreadable="skip")
    assert source.names["train"] == ["a/scan 0", "a/scan 1", "b/scan 1"]
    assert source.skipped == ("b/scan 0",)
    assert [each.reason for each in source.files if each.file == "b/scan 0"] == [
        "it has no slice with number 2, 5 to 6"
    ]
    form = VolumeFormat(shape=(8, 5, 4), resize="center", fill=0.0)
    with pytest.raises(UserError, match="b/scan 0: must have all of its slices, got none with number 2, 5 to 6"):
        read_slices(tmp_path / "b/scan 0", "b/scan 0", form, channels=1)


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([1, 2, 4], ["3"]),
        ([10, 20, 30, 60], ["40 to 50"]),
        ([1, 2, 999_999_999], ["3 to 999999998"]),
        ([0, 2, 4, 6], []),
        ([13, 57, 120, 121], []),
        ([3], []),
    ],
)
def test_a_number_is_missing_if_the_others_have_equal_steps(numbers: list[int], missing: list[str]) -> None:
    assert missing_slices([f"scan7_{number:03}.png" for number in numbers]) == missing


@pytest.mark.parametrize(
    "names", [["a1b1.png", "a2b2.png", "a4b4.png"], ["1.png", "2.png", "4.jpg"], ["a.png", "b.png"]]
)
def test_names_without_one_number_do_not_count_the_slices(names: list[str]) -> None:
    assert missing_slices(names) == []


def test_slices_of_several_sizes_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_slices(tmp_path / name / "scan", np.zeros((3, 5, 4), np.uint8))
    Image.new("L", (7, 7)).save(tmp_path / "b/scan/slice 3.png")
    with pytest.raises(UserError, match=r"b/scan: slices must have one size, got 5×4 \(3\), 7×7 \(1\)"):
        loaded(tmp_path)


@pytest.mark.parametrize("split", ["", "train/"])
def test_slices_outside_a_folder_of_their_volume_are_refused(tmp_path: Path, split: str) -> None:
    for name in ("a", "b"):
        write_slices(tmp_path / split / name, np.zeros((3, 5, 4), np.uint8))
    with pytest.raises(UserError, match=rf"must be in a folder of their own, got {split}a/slice 0\.png.*images:FOLDER"):
        loaded(tmp_path)


def test_slices_in_a_class_folder_are_refused_in_one_of_several_folders_that_has_its_name(tmp_path: Path) -> None:
    for folder in ("a", "more"):
        for name in ("a", "b"):
            write_slices(tmp_path / folder / name / ("" if folder == "a" else "scan"), np.zeros((3, 5, 4), np.uint8))
    with pytest.raises(UserError, match=r"must be in a folder of their own, got a/a/slice 0\.png"):
        load(data_params(source=f"volumes:{tmp_path / 'a'},{tmp_path / 'more'}"), seed=0)


def test_other_files_among_slices_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_slices(tmp_path / name / "scan", np.zeros((3, 5, 4), np.uint8))
    write_npy(tmp_path / "a/scan/whole.npy", ramp(3, 5, 4))
    with pytest.raises(UserError, match=r"must contain only slices, got a/scan/whole\.npy"):
        loaded(tmp_path)


def test_several_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    two_classes(tmp_path)
    write_npy(tmp_path / "dog/color.npy", ramp(3, 4, 5, 3))
    with pytest.raises(UserError, match=r"same number of channels, got 1 in cat/0\.npy, 3 in dog/color\.npy"):
        loaded(tmp_path)


def test_groups_and_weights_of_a_manifest_are_kept(tmp_path: Path) -> None:
    write_npy(tmp_path / "a.npy", ramp(3, 4, 5))
    write_slices(tmp_path / "scan", np.zeros((3, 4, 5), np.uint8))
    (tmp_path / "scans.csv").write_text(
        "path,label,group,weight\na.npy,ill,ann,0.5\n"
        + "".join(f"scan/slice {number}.png,healthy,bob,2\n" for number in range(3))
    )
    source = load(data_params(source=f"volumes:{tmp_path / 'scans.csv'}"), seed=0)
    assert source.names["train"] == ["a.npy", "scan"]
    assert source.groups["train"] == ["ann", "bob"]
    assert source.weights["train"] == [0.5, 2.0]


@pytest.mark.parametrize("rows", [("ill,1", "healthy,1"), ("ill,1", "ill,2")])
def test_slices_of_one_volume_with_several_classes_or_weights_are_refused(
    tmp_path: Path, rows: tuple[str, str]
) -> None:
    write_slices(tmp_path / "one", np.zeros((2, 4, 5), np.uint8))
    write_npy(tmp_path / "a.npy", ramp(2, 4, 5))
    (tmp_path / "scans.csv").write_text(
        f"path,label,weight\none/slice 0.png,{rows[0]}\none/slice 1.png,{rows[1]}\na.npy,healthy,1\n"
    )
    with pytest.raises(UserError, match="one: slices of a volume must have the same class, split, group and weight"):
        load(data_params(source=f"volumes:{tmp_path / 'scans.csv'}"), seed=0)


@pytest.mark.slow
def test_prepare_writes_the_volumes_and_how_their_files_are_read(tmp_path: Path) -> None:
    for name, level in (("dark", 0.0), ("bright", 5.0)):
        for number in range(12):
            noise = np.random.default_rng(number).normal(level, 1.0, (3, 4, 5))
            write_npy(tmp_path / "data" / name / f"{number}.npy", noise)
    volume = {"shape": [4, 4, 4], "resize": "pad", "fill": 0.0}
    params = params_with(data=data_params(source=f"volumes:{tmp_path / 'data'}", volume=volume))
    prepare.run(params, prepare.Paths(tmp_path / "prepared", tmp_path / "reports"))
    dataset = read_dataset(tmp_path / "prepared/dataset.json")
    assert (dataset.kind, dataset.input_shape, dataset.dtype) == ("volume", (4, 4, 4, 1), "float32")
    assert dataset.input_format == VolumeFormat(shape=(4, 4, 4), resize="pad", fill=0.0)
    train = read_split(tmp_path / "prepared/train", "train")
    np.testing.assert_array_equal(
        train.images[0], read_volume(tmp_path / "data" / train.names[0], "", dataset.input_format).values
    )
    assert (tmp_path / "reports/files.csv").read_text().count("resized to 4×4×4 (pad)") == 24


def test_numbers_in_names_are_compared_as_numbers() -> None:
    assert sorted(["s10", "s9", "s1b2", "s1b10", "a"], key=natural_order) == ["a", "s1b2", "s1b10", "s9", "s10"]
