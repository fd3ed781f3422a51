import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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
    with pytest.raises(
        UserError, match=rf"^here: x: rows 5 to 14 .*: {name} must have at most 5,296 bytes, got 1.0 MiB"
    ):
        rows[5:15]


@NEEDS_ZARR
@pytest.mark.parametrize(
    ("version", "codec"), [(2, "zstd"), (2, "gzip"), (2, "zlib"), (2, "blosc"), (2, "lz4"), (3, "zstd"), (3, "gzip")]
)
def test_chunks_that_expand_beyond_their_size_are_not_decompressed(tmp_path: Path, version: int, codec: str) -> None:
    import numcodecs
    import zarr.codecs

    compressor = numcodecs.get_codec({"id": codec})
    used = compressor if version == 2 else {"zstd": zarr.codecs.ZstdCodec(), "gzip": zarr.codecs.GzipCodec()}[codec]
    group(tmp_path / "a.zarr", version).create_array("x", data=VALUES, chunks=(10, 6, 5), compressors=used)
    name = "1.0.0" if version == 2 else "c/1/0/0"
    rows = opened(tmp_path / "a.zarr").array("x")
    np.testing.assert_array_equal(rows[:20], VALUES[:20])
    (tmp_path / "a.zarr/x" / name).write_bytes(compressor.encode(bytes(2**20))[:4600])
    rows = opened(tmp_path / "a.zarr").array("x")
    assert rows[:10].shape == (10, 6, 5)
    with pytest.raises(UserError, match=rf"{name} has a chunk that expands beyond the 5,296 bytes that are declared"):
        rows[5:15]


@NEEDS_ZARR
@pytest.mark.parametrize("place", ["start", "end"])
def test_chunks_of_shards_that_expand_beyond_their_size_are_not_decompressed(tmp_path: Path, place: str) -> None:
    from zarr.codecs import BytesCodec, ShardingCodec, ZstdCodec

    bomb = np.ones((4, 512, 512), np.int16)
    for name, values in (("a", VALUES[:4]), ("b", bomb)):
        inner = (2, *values.shape[1:])
        shards = ShardingCodec(chunk_shape=inner, codecs=[BytesCodec(), ZstdCodec()], index_location=place)  # type: ignore[arg-type]
        array = group(tmp_path / name).create_array(
            "x", shape=values.shape, dtype=values.dtype, chunks=values.shape, serializer=shards, compressors=None
        )
        array[:] = values
    np.testing.assert_array_equal(opened(tmp_path / "a").array("x")[1:4], VALUES[1:4])
    (tmp_path / "b/x/c/0/0/0").replace(tmp_path / "a/x/c/0/0/0")
    with pytest.raises(UserError, match="c/0/0/0 has a chunk that expands beyond the 4,336 bytes"):
        opened(tmp_path / "a").array("x")[1:4]


@NEEDS_ZARR
@pytest.mark.parametrize("codec", ["zstd", "blosc", None])
def test_absurd_numbers_of_texts_in_a_chunk_are_not_allocated(tmp_path: Path, codec: str | None) -> None:
    import numcodecs

    compressor = None if codec is None else numcodecs.get_codec({"id": codec})
    array = group(tmp_path / "a.zarr", 2).create_array("y", shape=(3,), dtype=str, chunks=(2,), compressors=compressor)
    array[:] = np.array(["cat", "dog", "cat"], dtype=np.dtypes.StringDType())
    content = (2**32 - 1).to_bytes(4, "little") + bytes(8)
    (tmp_path / "a.zarr/y/0").write_bytes(content if compressor is None else compressor.encode(content))
    with pytest.raises(UserError, match=r"0 has a chunk of 4,294,967,295 texts, but 2 are declared"):
        opened(tmp_path / "a.zarr").array("y")


@NEEDS_ZARR
@pytest.mark.parametrize("codec", ["bz2", "lzma", "delta"])
def test_codecs_without_a_known_limit_are_refused(tmp_path: Path, codec: str) -> None:
    group(tmp_path / "a.zarr", 2).create_array("x", data=VALUES, chunks=(10, 6, 5))
    metadata = tmp_path / "a.zarr/x/.zarray"
    content = json.loads(metadata.read_text())
    content["filters"] = [{"id": codec, **({"dtype": "<i2"} if codec == "delta" else {})}]
    metadata.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"here: x: .* compressed with one of gzip, .* or not at all, got {codec}"):
        opened(tmp_path / "a.zarr").array("x")


@NEEDS_ZARR
@pytest.mark.parametrize(
    ("version", "name"), [(3, "zarr.json"), (3, "x/zarr.json"), (3, "x/c/1/0/0"), (2, "x/.zarray"), (2, "x/1.0.0")]
)
@pytest.mark.parametrize("device", [False, True])
def test_pipes_and_devices_are_not_opened(tmp_path: Path, version: int, name: str, device: bool) -> None:
    group(tmp_path / "a.zarr", version).create_array("x", data=VALUES, chunks=(10, 6, 5))
    path = tmp_path / "a.zarr" / name
    path.unlink()
    path.symlink_to("/dev/zero") if device else os.mkfifo(path)
    with within_seconds(5), pytest.raises(UserError, match=rf"{path.name} must be a file, got a pipe, a device"):
        opened(tmp_path / "a.zarr").array("x")[5:15]


@contextmanager
def within_seconds(limit: int) -> Iterator[None]:
    """Raise TimeoutError in a test that waits for a pipe."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


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
