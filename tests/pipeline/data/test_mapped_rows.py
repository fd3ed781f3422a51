"""Rows of a mapped file are read in the background when they are requested."""

import ctypes
import mmap
import os
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data import mapped_rows


def in_cache(row: NDArray[np.uint8]) -> bool:
    """Whether all pages of a row of a mapped file are in the page cache."""
    start = row.ctypes.data - row.ctypes.data % mmap.PAGESIZE
    pages = -(-(row.ctypes.data + row.nbytes - start) // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(start), ctypes.c_size_t(pages * mmap.PAGESIZE), found) == 0
    return all(page & 1 for page in found)


def test_requested_rows_are_read_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_rows, "_LARGE", 0)
    np.save(tmp_path / "rows.npy", np.zeros((100, 50_000), np.uint8))
    descriptor = os.open(tmp_path / "rows.npy", os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    mapped_rows.request(rows[10:], np.array([[3, 80], [89, 0]]))
    deadline = time.monotonic() + 10
    while not all(in_cache(rows[10 + place]) for place in (3, 80, 89, 0)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
