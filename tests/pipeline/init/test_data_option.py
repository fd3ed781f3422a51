from pathlib import Path

import pytest

from pipeline.errors import UserError
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
        ("mine.ts", "mine.ts", "ts"),
        ("mine/Mine_TRAIN.ts", "mine", "ts"),
        ("mine/train/cat/a.flac", "mine", "audio"),
        ("mine/dataset_dict.json", "mine", "huggingface"),
    ],
)
def test_the_kind_of_a_source_is_recognized_by_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, given: str, kind: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    assert resolve(given, tmp_path / "raw")[0] == f"{kind}:{given}"


def test_the_kind_that_is_given_is_used_whatever_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine/cat").mkdir(parents=True)
    Path("mine/cat/a.png").touch()
    assert resolve("series:mine", tmp_path / "raw") == ("series:mine", "mine", "")


def test_folders_are_joined_and_named_after_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("2024/cat/a.png", "2025/cat/b.png", "sound/a/c.wav"):
        Path(file).parent.mkdir(parents=True)
        Path(file).touch()
    assert resolve("2024,2025", tmp_path / "raw")[:2] == ("images:2024,2025", "2024")
    assert resolve("images:2024,2025", tmp_path / "raw")[:2] == ("images:2024,2025", "2024")
    with pytest.raises(UserError, match=r"of the same kind .*, got images, audio; pass folders of one kind"):
        resolve("2024,sound", tmp_path / "raw")
    with pytest.raises(UserError, match=r"must be folders .*, got nowhere; pass existing folders, or one manifest"):
        resolve("2024,nowhere", tmp_path / "raw")


def test_the_kind_of_most_files_counts(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text("notes")
        (tmp_path / f"{number}.wav").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    (tmp_path / "cover.png").touch()
    found = resolve(str(tmp_path), tmp_path / "raw")
    assert found.source == f"audio:{tmp_path}"
    assert found.found.startswith("6 of 13 inspected files are recordings")


def test_the_files_of_a_manifest_determine_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(4):
        Path(f"{number}.dat").write_bytes(b"fLaC")
        rows.append(f"{number}.dat,{'ab'[number % 2]}\n")
    Path("list.csv").write_text(f"path,label\n{''.join(rows)}")
    assert resolve("list.csv", tmp_path / "raw").source == "audio:list.csv"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mat").touch()
    with pytest.raises(UserError, match=r"must be a folder, a file of arrays or series .*, got '.mat'"):
        resolve(str(tmp_path / "a.mat"), tmp_path / "raw")
