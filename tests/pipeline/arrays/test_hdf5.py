import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.arrays.gather import gather, rows_per_read
from pipeline.arrays.hdf5 import Hdf5Arrays, Hdf5Rows
from pipeline.errors import UserError


def opened(path: Path) -> Hdf5Arrays:
    return Hdf5Arrays(path, "here")


def rows_of(path: Path) -> Hdf5Rows:
    rows = opened(path).array("x")
    assert isinstance(rows, Hdf5Rows)
    return rows


VALUES = np.random.default_rng(0).integers(0, 2**15, (50, 6, 5)).astype(np.int16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (7, 6, 5)},
        {"chunks": (7, 4, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (1, 6, 5), "compression": "lzf"},
        {"chunks": (50, 6, 5), "compression": "gzip", "compression_opts": 9},
    ],
    ids=str,
)
def test_rows_are_those_of_the_dataset(tmp_path: Path, options: dict[str, object]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=VALUES, **options)
    rows = rows_of(tmp_path / "a.h5")
    assert (rows.shape, rows.dtype, len(rows)) == ((50, 6, 5), np.int16, 50)
    np.testing.assert_array_equal(rows[3:20], VALUES[3:20])
    assert rows[20:3].shape == (0, 6, 5)
    for chosen in ([], [0], [49], [1, 2, 3, 40, 48], [6, 7, 13, 14], list(range(50))):
        np.testing.assert_array_equal(rows[np.array(chosen, np.int64)], VALUES[np.array(chosen, np.int64)])


def test_few_reads_are_made_and_distant_rows_are_skipped() -> None:
    reads = []

    def read(first: int, last: int) -> np.ndarray:
        reads.append((first, last))
        return np.arange(first, last)[:, None].repeat(2**16, 1)

    def gathered(indices: list[int], chunk: int) -> list[int]:
        reads.clear()
        step = rows_per_read(2**19, chunk)
        assert step == {1: 64, 10: 60, 80: 64}[chunk]
        return gather(read, np.array(indices), step, chunk, (2**16,), np.dtype(np.int64))[:, 0].tolist()

    assert gathered([1, 2, 3, 30, 31, 70], 1) == [1, 2, 3, 30, 31, 70]
    assert reads == [(1, 4), (30, 32), (70, 71)]
    assert gathered([1, 9, 12, 19, 35, 59, 60], 10) == [1, 9, 12, 19, 35, 59, 60]
    assert reads == [(1, 20), (35, 36), (59, 60), (60, 61)]
    assert gathered([1, 62, 65], 80) == [1, 62, 65]
    assert reads == [(1, 63), (65, 66)]


def test_incompressible_chunks_that_gzip_skipped_are_read(tmp_path: Path) -> None:
    """HDF5 stores such a chunk as it is, and marks it."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 2**20), np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=noise, chunks=(1, 2**20), compression="gzip")
    np.testing.assert_array_equal(rows_of(tmp_path / "a.h5")[:], noise)


def test_chunks_that_were_never_written_have_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10, 3), np.int16, chunks=(5, 3), compression="gzip", fillvalue=7)
    assert (rows_of(tmp_path / "a.h5")[:] == 7).all()


@pytest.mark.parametrize("dtype", ["O", "S3"])
def test_text_is_read(tmp_path: Path, dtype: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("y", data=np.array(["cat", "dog"] * 300, dtype=dtype))
    found = opened(tmp_path / "a.h5").array("y")
    assert [each.decode() if isinstance(each, bytes) else each for each in found[:3].tolist()] == ["cat", "dog", "cat"]
    assert len(found) == 600


def test_many_rows_that_share_a_long_text_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("y", data=["x" * 5000], dtype=h5py.string_dtype())
    with pytest.raises(UserError, match=r"here: y: names must have at most 1,000 characters, got 5,000"):
        opened(tmp_path / "a.h5").array("y")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros((1000, 100))
    (tmp_path / "a.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:-5000])
    with pytest.raises(UserError, match="here: must be a complete HDF5 file"):
        opened(tmp_path / "a.h5")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"no HDF5")
    with pytest.raises(UserError, match="here: must be a complete HDF5 file"):
        opened(tmp_path / "a.h5")
    with pytest.raises(UserError, match="here: no such file"):
        opened(tmp_path / "b.h5")


def test_rows_of_a_large_dataset_are_read_in_little_memory(tmp_path: Path) -> None:
    """A dataset of 4 GB, in a process that may not allocate more than 300 MiB."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("x", (4096, 2**20), np.uint8, chunks=(4, 2**20), compression="gzip")
        packed = zlib.compress(bytes(2**22), 1)
        dataset.id.write_direct_chunk((0, 0), zlib.compress(np.random.default_rng(0).bytes(2**22)))
        dataset.id.write_direct_chunk((4092, 0), packed)
        for row in range(4, 4092, 4):
            dataset.id.write_direct_chunk((row, 0), packed)
    code = (
        "import pathlib, resource, sys\nimport h5py, numpy as np\n"
        "from pipeline.arrays.hdf5 import Hdf5Arrays\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (300 * 2**20, 300 * 2**20))\n"
        "rows = Hdf5Arrays(pathlib.Path(sys.argv[1]), 'x').array('x')\n"
        "assert rows[np.array([0, 900, 4095])].any(axis=1).tolist() == [True, False, False]\n"
        "for start in range(4, 404, 40):\n    assert not rows[start:start + 40].any()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.h5")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
