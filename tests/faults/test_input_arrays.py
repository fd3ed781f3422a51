"""Files of arrays that run code, read other files, or expand to more than memory holds."""

import gzip
import os
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.arrays.hdf5 import Hdf5Arrays
from pipeline.arrays.idx import open_idx
from pipeline.arrays.npz import NpzArrays
from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UserError
from pipeline.inference.outliers import read_outliers
from pipeline.volumes.read_volume import read_volume
from tests.installed import NEEDS_NIBABEL
from tests.pipeline.arrays.test_npy import header, with_declared_size, write_member
from tests.pipeline.volumes.files import nifti, ramp

VALUES = np.random.default_rng(0).integers(0, 2**15, (50, 6, 5)).astype(np.int16)


def write_dangerous(folder: Path, kind: str) -> Path:
    path = folder / "a.h5"
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = VALUES
    VALUES.tofile(folder / "other.raw")
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["x"] = h5py.ExternalLink("other.h5", "x")
        elif kind == "soft link":
            file["other"] = h5py.ExternalLink("other.h5", "/")
            file["x"] = h5py.SoftLink("/other/x")
        elif kind == "external storage":
            file.create_dataset(
                "x", VALUES.shape, VALUES.dtype, external=[(str(folder / "other.raw"), 0, VALUES.nbytes)]
            )
        elif kind == "virtual":
            layout = h5py.VirtualLayout(VALUES.shape, VALUES.dtype)
            layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", VALUES.shape)
            file.create_virtual_dataset("x", layout)
        elif kind == "group":
            file.create_group("x")
        elif kind == "single value":
            file["x"] = 3
        elif kind == "nothing":
            file["x"] = h5py.Empty("f")
        elif kind == "objects":
            file.create_dataset("x", (3,), h5py.vlen_dtype(np.int16))
        elif kind == "references":
            file.create_dataset("x", (3,), h5py.ref_dtype)
        elif kind == "records":
            file.create_dataset("x", (3,), np.dtype([("a", "i2")]))
        elif kind == "not written":
            file.create_dataset("x", (10**12, 28, 28), np.uint8, chunks=(1, 28, 28), compression="gzip")
        elif kind == "large chunks":
            file.create_dataset("x", (10**6, 1000), np.uint8, chunks=(10**6, 1000))
        elif kind == "gzip twice":
            created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            created.set_chunk((10, 6, 5))
            created.set_deflate(6)
            created.set_deflate(6)
            space = h5py.h5s.create_simple(VALUES.shape)
            h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT16, space, created)
        elif kind == "another filter":
            file.create_dataset("x", data=VALUES, chunks=(10, 6, 5), scaleoffset=0)
        elif kind == "chunk that expands":
            dataset = file.create_dataset("x", (4, 60_000), np.uint8, chunks=(1, 60_000), compression="gzip")
            dataset.id.write_direct_chunk((1, 0), zlib.compress(bytes(2**20)) + bytes(90_000))
        elif kind == "small chunk that expands":
            dataset = file.create_dataset("x", (2, 2**19), np.uint8, chunks=(1, 2**19), compression="gzip")
            dataset.id.write_direct_chunk((1, 0), zlib.compress(bytes(2**27)))
        elif kind == "damaged chunk":
            file.create_dataset("x", data=VALUES, chunks=(10, 6, 5), compression="gzip").id.write_direct_chunk(
                (10, 0, 0), b"damaged"
            )
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("external link", "got a link"),
        ("soft link", "got a link"),
        ("external storage", "got external storage, which reads other files"),
        ("virtual", "got a virtual dataset, which reads other files"),
        ("group", "got a group"),
        ("single value", "got a single value"),
        ("nothing", "got nothing"),
        ("objects", "objects"),
        ("references", "objects"),
        ("records", "must contain numbers"),
        ("not written", "exhaust the memory or disk"),
        ("large chunks", r"chunks must be at most 256\.0 MiB, got 953\.7 MiB"),
        ("gzip twice", "one of them twice"),
        ("another filter", "got filter 6"),
        ("chunk that expands", "the chunk at row 1 expands beyond its declared 60,000 bytes"),
        ("small chunk that expands", r"the chunk at row 1 expands beyond its declared 524,288 bytes"),
        ("damaged chunk", "rows 0 to 3 cannot be read|rows 0 to 49 cannot be read"),
    ],
)
def test_dangerous_datasets_are_refused(tmp_path: Path, kind: str, message: str) -> None:
    """HDF5 datasets that read other files, expand beyond their size or contain objects are refused.

    17 kinds of datasets, such as external links, virtual datasets, and chunks that expand to 128 MiB.
    """
    arrays = Hdf5Arrays(write_dangerous(tmp_path, kind), "here")
    with pytest.raises(UserError, match=f"here: x: .*{message}"):
        arrays.array("x")[:]


def test_pickled_objects_in_an_npz_file_are_refused(tmp_path: Path) -> None:
    """Pickled objects in arrays are never unpickled.

    An .npz file with an array of objects.
    """
    np.savez(tmp_path / "a.npz", x=np.array([{}], object))
    with pytest.raises(UserError, match=r"here: x: .*pickled Python objects"):
        NpzArrays(tmp_path / "a.npz", "here").array("x")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_shape_beyond_the_size_of_the_member_is_refused(tmp_path: Path, compression: int) -> None:
    """The header of an array cannot claim more values than are stored.

    Members of 100 bytes that declare 10^15 values, stored and compressed.
    """
    content = header("'|u1'", "(1000000000000, 28, 28)") + bytes(100)
    with pytest.raises(UserError, match=r"here: x: declares shape .* got 100 bytes"):
        write_member(tmp_path / "a.npz", content, compression).array("x")


def test_a_zip_bomb_is_refused_before_it_is_decompressed(tmp_path: Path) -> None:
    """An array that expands far beyond its size is refused before it is decompressed.

    A member of some bytes whose archive declares 2.8 GiB.
    """
    content = header("'|u1'", "(3000, 1000, 1000)")
    write_member(tmp_path / "a.npz", content + bytes(1000))
    with_declared_size(tmp_path / "a.npz", len(content) + 3 * 10**9)
    with pytest.raises(UserError, match=r"declares 2\.8 GiB, but \d+ bytes are stored.*exhaust the memory or disk"):
        NpzArrays(tmp_path / "a.npz", "here").array("x")


@NEEDS_NIBABEL
def test_a_gzip_bomb_is_decompressed_no_further_than_its_header_says() -> None:
    """A compressed volume is decompressed no further than its header says.

    2 GiB of compressed zeros after the declared 400 bytes.
    """
    content = nifti(ramp(4, 3, 2)).to_bytes()
    zeros = gzip.compress(bytes(2**24))
    bomb = gzip.compress(content) + zeros * 128
    assert read_volume(bomb, "here", VolumeFormat(shape=None, resize="stretch", fill=0.0)).values.shape == (2, 3, 4, 1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((60_000, 28, 28), "the file contains more than one array"),
        ((2**32 - 1, 2**32 - 1, 2**32 - 1), "declares .*, but .* are stored"),
        ((2, 2, 2), "the file contains more than one array"),
    ],
)
def test_a_gzipped_idx_file_is_unpacked_no_further_than_its_header_says(
    tmp_path: Path, shape: tuple[int, int, int], message: str
) -> None:
    """A gzipped IDX file is unpacked no further than its header says, and its header is bounded by its size.

    64 MiB of zeros, compressed to some kilobytes, with headers of 47 MB, of 8 * 10^28 bytes, and of 8 bytes.
    """
    content = bytes((0, 0, 8, 3)) + struct.pack(">3I", *shape)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(content) + gzip.compress(bytes(2**22)) * 16)
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=message):
            open_idx(tmp_path / "bomb.gz", dimensions=3)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("damage", ["a pipe", "a huge shape", "an archive", "a link to itself"])
def test_outliers_that_are_no_array_end_in_a_message(tmp_path: Path, damage: str) -> None:
    """A file of outliers that is no array, or whose header promises more than the file has, ends in one message.

    Puts a named pipe, a header of 10^15 numbers, an archive and a link to itself in place of the file.
    """
    path = tmp_path / "outliers.npy"
    if damage == "a pipe":
        os.mkfifo(path)
    elif damage == "a huge shape":
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": (10**15,)})
    elif damage == "an archive":
        np.savez(tmp_path / "outliers", VALUES)
        (tmp_path / "outliers.npz").rename(path)
    else:
        path.symlink_to(path.name)
    with pytest.raises(UserError, match=r"outliers\.npy: must be an array: .*; write the file with numpy\.save"):
        read_outliers(path, (6, 5, 1))
    path.unlink()
    np.save(path, VALUES[..., None])
    np.testing.assert_array_equal(read_outliers(path, (6, 5, 1)), VALUES[..., None])
