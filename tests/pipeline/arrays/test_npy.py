import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.arrays.file_rows import open_npy
from pipeline.arrays.npz import NpzArrays
from pipeline.arrays.scratch import scratch_folder
from pipeline.errors import UserError


def header(descr: str, shape: object) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def write_sparse_npy(path: Path, shape: tuple[int, ...]) -> None:
    """An array of bytes, which takes no space on the disk."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape, dtype=np.int64)))


@pytest.mark.parametrize("dtype", ["u1", ">i2", "<f4", "<f8", "<U3", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_of_an_npy_file_are_read(tmp_path: Path, dtype: str, order: str) -> None:
    values = np.arange(24).reshape(4, 3, 2).astype(dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "x.npy", values)
    rows = open_npy(tmp_path / "x.npy", "x")
    assert rows.dtype == values.dtype
    np.testing.assert_array_equal(rows[:], values)
    np.testing.assert_array_equal(rows[1:3], values[1:3])
    np.testing.assert_array_equal(rows[np.array([0, 3])], values[[0, 3]])


def test_arrays_without_values_are_read(tmp_path: Path) -> None:
    for shape in ((0, 3), (3, 0), ()):
        np.save(tmp_path / "x.npy", np.empty(shape))
        rows = open_npy(tmp_path / "x.npy", "x")
        assert rows.shape == shape
        assert not shape or rows[:].shape == shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"\x89PNG\r\n\x1a\n1234", "must be an array in NumPy's format .*got 89 50 4e 47"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "damaged header of 2,147,483,647 bytes"),
        (b"\x93NUMPY\x01\x00\x05\x00{bad}", "damaged header"),
        (
            header("'|u1'", "(1000000000000, 28, 28)") + b"123",
            r"declares shape .*730,\d+.\d GiB, got 3 bytes.*truncated",
        ),
        (header("'|u1'", "(9223372036854775807, 9)") + b"123", "impossible shape"),
        (header("'|u1'", "(0, 9223372036854775807, 9)"), "impossible shape"),
        (header("'|u1'", "(-3, 2)") + b"123456", "impossible shape"),
        (header("'|u1'", "(2, 2)") + b"123", "truncated"),
        (header("'|u1'", "(2, 2)") + b"12345", "more than one array"),
        (header("'|O'", "(1,)") + b"12345678", "pickled Python objects, which can run code"),
        (header("[('a', '|u1')]", "(2,)") + b"12", "must contain numbers"),
        (header("'<c8'", "(1,)") + b"12345678", "must contain numbers, got complex64"),
        (header("__import__('os')", "(1,)") + b"1", "damaged header"),
    ],
)
def test_damaged_or_dangerous_npy_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UserError, match=f"here: .*{message}"):
        open_npy(tmp_path / "x.npy", "here")


def test_named_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(UserError, match="must be a file"):
        open_npy(tmp_path / "x.npy", "here")


def npz(path: Path, **arrays: np.ndarray) -> NpzArrays:
    np.savez(path, allow_pickle=True, **arrays)  # type: ignore[arg-type]
    return NpzArrays(path, "here")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_file_are_read(tmp_path: Path, save: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    values = np.random.default_rng(0).normal(size=(700, 20, 20))
    save(tmp_path / "a.npz", x=values, y=np.array(["a", "b"]))  # type: ignore[operator]
    arrays = NpzArrays(tmp_path / "a.npz", "here")
    assert arrays.names == ("x", "y")
    np.testing.assert_array_equal(arrays.array("x")[:], values)
    assert arrays.array("y")[:].tolist() == ["a", "b"]
    assert list((tmp_path / "data").iterdir()) == []


def write_member(path: Path, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> NpzArrays:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", content)
    return NpzArrays(path, "here")


def with_declared_size(path: Path, size: int) -> None:
    """Write a size of the uncompressed member into the archive's directory."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(bytes(content))


def test_a_member_with_fewer_values_than_it_declares_is_refused(tmp_path: Path) -> None:
    content = header("'|u1'", "(30, 1000, 1000)")
    write_member(tmp_path / "a.npz", content + bytes(1000))
    with_declared_size(tmp_path / "a.npz", len(content) + 3 * 10**7)
    with pytest.raises(UserError, match=r"here: .*(truncated|not a valid)"):
        NpzArrays(tmp_path / "a.npz", "here").array("x")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_values_are_found_by_their_checksum(tmp_path: Path, save: object) -> None:
    save(tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 256, (90, 90), np.uint8))  # type: ignore[operator]
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[4000] ^= 255
    (tmp_path / "a.npz").write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"here: is not a valid \.npz file"):
        NpzArrays(tmp_path / "a.npz", "here").array("x")


@pytest.mark.parametrize("cut", [0, 10, 2000])
def test_truncated_npz_files_are_refused(tmp_path: Path, cut: int) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((90, 90)))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:cut])
    with pytest.raises(UserError, match=r"here: is not a valid \.npz file"):
        NpzArrays(tmp_path / "a.npz", "here")


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((90, 90)))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("pipeline.arrays.scratch.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"needs 64,800 bytes in .*, but 1,000 bytes are free"):
        NpzArrays(tmp_path / "a.npz", "here").array("x")


def test_a_disk_that_fills_up_is_reported(tmp_path: Path) -> None:
    """The limit on the size of files stands in for the end of the disk."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((900, 900)))
    code = (
        "import errno, pathlib, resource, signal, sys, tempfile\n"
        "from pipeline.arrays import scratch\nfrom pipeline.arrays.npz import NpzArrays\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21))\n"
        "errno.ENOSPC = errno.EFBIG\n"
        "from pipeline.errors import UserError\n"
        "try:\n    NpzArrays(pathlib.Path(sys.argv[1]), 'here').array('x')\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.npz")], capture_output=True, text=True, check=True
    )
    assert "is full after" in done.stdout


MEASURED = """
import pathlib, resource, sys
import numpy as np
{imports}
resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20, 300 * 2**20))
rows = {rows}
assert rows.shape == (4_000_000, 32, 32), rows.shape
chosen = rows[np.array([0, 1_234_567, 3_999_999])]
assert chosen.shape == (3, 32, 32) and not chosen.any()
for start in range(0, 40_000, 4_000):
    assert not rows[start:start + 4_000].any()
"""


def test_rows_of_a_large_file_are_read_in_little_memory(tmp_path: Path) -> None:
    """A file of 4 GB, in a process that may not allocate more than 300 MiB."""
    write_sparse_npy(tmp_path / "x.npy", (4_000_000, 32, 32))
    code = MEASURED.format(
        imports="from pipeline.arrays.file_rows import open_npy", rows="open_npy(pathlib.Path(sys.argv[1]), 'x')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.npy")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_limit_of_that_test_is_effective(tmp_path: Path) -> None:
    write_sparse_npy(tmp_path / "x.npy", (4_000_000, 32, 32))
    code = MEASURED.format(imports="", rows="np.load(sys.argv[1])")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.npy")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Unable to allocate" in done.stderr


def test_temporary_files_are_not_in_memory_if_there_is_a_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert scratch_folder() != Path("data")
    (tmp_path / "data").mkdir()
    assert scratch_folder() == Path("data")
