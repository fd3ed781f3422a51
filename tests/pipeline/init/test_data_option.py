from pathlib import Path

import pytest

from pipeline.init.data_option import resolve


@pytest.mark.parametrize(
    ("file", "given", "kind"),
    [
        ("mine.npz", "mine.npz", "npz"),
        ("mine.h5", "mine.h5", "hdf5"),
        ("mine.HDF5", "mine.HDF5", "hdf5"),
        ("mine/x_train.npy", "mine", "npy"),
        ("mine/zarr.json", "mine", "zarr"),
        ("mine/.zgroup", "mine", "zarr"),
        ("mine/train-images-idx3-ubyte.gz", "mine", "idx"),
        ("mine/ill/a.nii.gz", "mine", "volumes"),
        ("mine/train/ill/a.nii", "mine", "volumes"),
        ("mine/ill/a.npy", "mine", "volumes"),
        ("mine/cat/a.png", "mine", "images"),
    ],
)
def test_the_kind_of_a_source_is_recognized_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, given: str, kind: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    assert resolve(given, tmp_path / "raw")[0] == f"{kind}:{given}"
