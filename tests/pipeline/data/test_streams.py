"""Splits that are written block by block, and their statistics."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import rows
from pipeline.data.rows import MappedRows, SelectedRows, blocks
from pipeline.data.split import make_split, read_split, stream_split
from pipeline.data.statistics import SplitStatistics, count_duplicates
from pipeline.errors import UserError

DRAW = np.random.default_rng(1)
BYTES = DRAW.integers(0, 256, (50, 3, 4, 2), dtype=np.uint8)
FLOATS = DRAW.normal(1000.0, 2.0, (50, 3, 4, 2)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 7 * BYTES[0].nbytes)


@pytest.mark.parametrize("images", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_a_streamed_split_has_the_bytes_and_the_digest_of_one_in_memory(tmp_path: Path, images: np.ndarray) -> None:
    labels, places = np.arange(50) % 3, np.arange(0, 50, 2)
    sizes: list[int] = []
    chosen = SelectedRows(images, places)
    digest = stream_split("val", chosen, labels[places], [], tmp_path / "val", lambda block: sizes.append(len(block)))
    whole = make_split("val", images[places], labels[places])
    assert digest == whole.digest == read_split(tmp_path / "val", "val").digest
    np.save(tmp_path / "images.npy", images[places])
    assert (tmp_path / "val" / "images.npy").read_bytes() == (tmp_path / "images.npy").read_bytes()
    assert sum(sizes) == 25
    assert len(sizes) > 3


def digest_of(*arrays: np.ndarray) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return content.hexdigest()


def test_the_digest_of_a_split_includes_its_weights_if_it_has_any(tmp_path: Path) -> None:
    labels, weights = np.arange(50) % 3, np.linspace(0.5, 2.0, 50, dtype=np.float32)
    digest = stream_split("train", BYTES, labels, [], tmp_path / "train", weights=weights)
    read = read_split(tmp_path / "train", "train")
    assert digest == read.digest == make_split("train", BYTES, labels, weights=weights).digest
    assert digest == digest_of(BYTES, labels, weights)
    assert np.array_equal(read.weights, weights)
    assert stream_split("val", BYTES, labels, [], tmp_path / "val") == digest_of(BYTES, labels)
    assert read_split(tmp_path / "val", "val").weights is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(49, np.float32), r"expected 50 weights of float32, got float32 of shape \(49,\)"),
        (np.ones(50), "got float64"),
        (np.zeros(50, np.float32), "expected positive weights, got some from 0.0 to 0.0"),
        (np.full(50, np.nan, np.float32), "expected positive weights"),
        (np.full(50, np.inf, np.float32), "expected positive weights"),
    ],
)
def test_damaged_weights_are_reported(tmp_path: Path, weights: np.ndarray, message: str) -> None:
    stream_split("train", BYTES, np.arange(50) % 3, [], tmp_path / "train")
    np.save(tmp_path / "train" / "weights.npy", weights)
    with pytest.raises(UserError, match=f"{message}.*; run `dvc repro --force prepare`"):
        read_split(tmp_path / "train", "train")


def test_blocks_contain_at_least_one_row_and_are_contiguous() -> None:
    transposed = MappedRows(FLOATS, lambda values: np.moveaxis(values, 1, -1), (4, 2, 3), FLOATS.dtype)
    seen = list(blocks(transposed))
    assert [len(block) for block in seen] == [1] * 50
    assert all(block.flags.c_contiguous for block in seen)
    assert np.array_equal(np.concatenate(seen), np.moveaxis(FLOATS, 1, -1))


@pytest.mark.parametrize("images", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_statistics_of_blocks_are_those_of_the_whole(images: np.ndarray) -> None:
    found = SplitStatistics()
    for block in blocks(images):
        found.update(block)
    assert np.allclose(found.mean, images.mean(axis=(0, 1, 2), dtype=np.float64), rtol=1e-14)
    assert np.allclose(found.std, images.std(axis=(0, 1, 2), dtype=np.float64), rtol=1e-12)
    assert (found.count, found.least, found.greatest) == (50, images.min(), images.max())
    assert found.whole == (images is BYTES)


def test_samples_that_are_not_finite_are_found_in_any_block() -> None:
    images = FLOATS.copy()
    images[3, 0, 0, 0], images[41, 2, 3, 1] = np.nan, np.inf
    found = SplitStatistics()
    for block in blocks(images):
        found.update(block)
    assert found.not_finite == [3, 41]


def test_duplicates_are_counted_between_splits() -> None:
    splits = {"train": SplitStatistics(), "val": SplitStatistics()}
    splits["train"].update(BYTES[:10])
    splits["val"].update(BYTES[8:20])
    assert count_duplicates(splits) == {"train and val": 2}
