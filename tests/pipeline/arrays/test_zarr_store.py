from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.arrays import zarr_store
from pipeline.arrays.zarr_store import ZarrArrays, ZarrRows
from pipeline.errors import UserError
from tests.installed import NEEDS_ZARR

VALUES = np.random.default_rng(0).integers(0, 2**15, (50, 6, 5)).astype(np.int16)


def group(folder: Path, version: int = 3) -> Any:
    import zarr

    return zarr.open_group(str(folder), mode="w", zarr_format=version)  # type: ignore[arg-type]


def opened(folder: Path) -> ZarrArrays:
    return ZarrArrays(folder, "here")


@NEEDS_ZARR
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("chunks", [(50, 6, 5), (7, 6, 2), (1, 6, 5)])
def test_rows_are_those_of_the_array(tmp_path: Path, version: int, chunks: tuple[int, ...]) -> None:
    group(tmp_path / "a.zarr", version).create_array("x", data=VALUES, chunks=chunks)
    arrays = opened(tmp_path / "a.zarr")
    rows = arrays.array("x")
    assert arrays.names == ("x",)
    assert isinstance(rows, ZarrRows)
    assert (rows.shape, rows.dtype, len(rows)) == ((50, 6, 5), np.int16, 50)
    np.testing.assert_array_equal(rows[3:20], VALUES[3:20])
    for chosen in ([], [0], [49], [1, 2, 3, 40, 48], list(range(50))):
        np.testing.assert_array_equal(rows[np.array(chosen, np.int64)], VALUES[np.array(chosen, np.int64)])


@NEEDS_ZARR
def test_sharded_arrays_are_read(tmp_path: Path) -> None:
    group(tmp_path / "a.zarr").create_array("x", data=VALUES, chunks=(5, 6, 5), shards=(20, 6, 5))
    np.testing.assert_array_equal(opened(tmp_path / "a.zarr").array("x")[10:30], VALUES[10:30])


@NEEDS_ZARR
@pytest.mark.parametrize("dtype", ["U3", "S3"])
def test_text_of_fixed_length_is_read(tmp_path: Path, dtype: str) -> None:
    array = group(tmp_path / "a.zarr", 2).create_array("y", shape=(3,), dtype=dtype, chunks=(2,))
    array[:] = np.array(["cat", "dog", "cat"], dtype)
    assert opened(tmp_path / "a.zarr").array("y")[:].tolist() == np.array(["cat", "dog", "cat"], dtype).tolist()


@NEEDS_ZARR
def test_text_of_any_length_is_read(tmp_path: Path) -> None:
    array = group(tmp_path / "a.zarr", 2).create_array("y", shape=(3,), dtype=str, chunks=(2,))
    array[:] = np.array(["cat", "dog", "cat"], dtype=np.dtypes.StringDType())
    assert opened(tmp_path / "a.zarr").array("y")[:].tolist() == ["cat", "dog", "cat"]


@NEEDS_ZARR
def test_arrays_that_were_never_written_are_refused(tmp_path: Path) -> None:
    group(tmp_path / "a.zarr").create_array("x", shape=(10**12, 28, 28), dtype="u1", chunks=(1, 28, 28))
    with pytest.raises(UserError, match=r"here: x: declares .* GiB, but .*exhaust the memory or disk"):
        opened(tmp_path / "a.zarr").array("x")


@NEEDS_ZARR
def test_large_chunks_are_refused(tmp_path: Path) -> None:
    group(tmp_path / "a.zarr").create_array("x", shape=(1000, 2**20), dtype="u1", chunks=(1000, 2**20))
    with pytest.raises(UserError, match=r"here: x: chunks must be at most 256\.0 MiB, got 1,?0*\.?0? ?|1000\.0 MiB"):
        opened(tmp_path / "a.zarr").array("x")


@NEEDS_ZARR
def test_damaged_chunks_are_reported(tmp_path: Path) -> None:
    group(tmp_path / "a.zarr").create_array("x", data=VALUES, chunks=(10, 6, 5))
    (tmp_path / "a.zarr/x/c/1/0/0").write_bytes(b"damaged")
    rows = opened(tmp_path / "a.zarr").array("x")
    assert rows[:10].shape == (10, 6, 5)
    with pytest.raises(UserError, match=r"here: x: rows 5 to 14 cannot be read: .*write it again"):
        rows[5:15]


@NEEDS_ZARR
@pytest.mark.parametrize(("version", "name"), [(2, "1.0.0"), (3, "c/1/0/0")])
def test_chunks_larger_than_declared_are_not_decompressed(tmp_path: Path, version: int, name: str) -> None:
    group(tmp_path / "a.zarr", version).create_array("x", data=VALUES, chunks=(10, 6, 5))
    (tmp_path / "a.zarr/x" / name).write_bytes(bytes(2**20))
    rows = opened(tmp_path / "a.zarr").array("x")
    assert rows[:10].shape == (10, 6, 5)
    with pytest.raises(UserError, match=r"^here: x: a file of rows .* must have at most 5,296 bytes.* got 1\.0 MiB"):
        rows[5:15]


@NEEDS_ZARR
def test_folders_that_are_no_group_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="here: no such folder"):
        opened(tmp_path / "b.zarr")
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(UserError, match="here: must be a Zarr group"):
        opened(tmp_path / "b.zarr")


def test_without_the_package_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_store, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="here: requires the package zarr; install it with `make extras EXTRAS=zarr`"):
        opened(tmp_path)
