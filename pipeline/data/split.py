"""A split of the prepared dataset: written once by prepare, read by every later stage."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows, block_count, blocks
from pipeline.errors import UserError
from pipeline.terminal.progress import progress

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Split:
    """Images with their labels.

    Attributes:
        name: The split: train, val or test.
        images: (n, *grid, channels) raw values, uint8 or float32; an array, a memory map or other `Rows`.
        labels: (n,) int64 class indices.
        digest: SHA-256 of dtypes, shapes and values, with the weights if there are any, in hexadecimal digits; of a
            fold, a digest of what it is made of.
        names: (n,) names of the images in their source; empty if unknown.
        groups: (n,) group of each image, such as a person; empty if each image is independent of the others.
        recordings: (n, samples) sound of each spectrogram, int16; None: there is none.
        weights: (n,) positive weights of the images in the training loss, float32; None: all images count the same.
    """

    name: SplitName
    images: Any
    labels: NDArray[np.int64]
    digest: str
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    recordings: Any = None
    weights: NDArray[np.float32] | None = None


def make_split(
    name: SplitName,
    images: NDArray[Any],
    labels: NDArray[np.int64],
    names: tuple[str, ...] = (),
    weights: NDArray[np.float32] | None = None,
) -> Split:
    """Create a split and compute its digest."""
    return Split(name, images, labels, _digest(images, labels, weights), names, weights=weights)


def write_split(split: Split, folder: Path) -> None:
    """Write a split that is in memory, with its digest."""
    stream_split(
        split.name, split.images, split.labels, split.names, folder, groups=split.groups, weights=split.weights
    )
    _write_facts(split.name, len(split.labels), split.digest, folder)


def stream_split(
    name: SplitName,
    images: Rows,
    labels: NDArray[np.int64],
    names: Sequence[str],
    folder: Path,
    see: Callable[[NDArray[Any]], None] = lambda _: None,
    groups: Sequence[str] = (),
    weights: NDArray[np.float32] | None = None,
) -> str:
    """Write images.npy, labels.npy, names.json and split.json block by block.

    If there are groups or weights, groups.json or weights.npy is written as well. Equal splits produce identical bytes.

    Args:
        name: The split: train, val or test.
        images: (n, *grid, channels) raw values.
        labels: (n,) class indices.
        names: (n,) names of the images in their source; empty if unknown.
        folder: Folder to create.
        see: Function that receives each block of images, in order.
        groups: (n,) groups of the images; empty if each image is independent of the others.
        weights: (n,) positive weights of the images in the training loss; None: all images count the same.

    Returns:
        The digest of the split, as of `make_split`.
    """
    folder.mkdir(parents=True)
    content = _Digest()
    content.start(images)

    def seen(block: NDArray[Any]) -> None:
        content.update(block)
        see(block)

    _stream_array(images, folder / "images.npy", seen, f"writing {name}, block")
    content.start(labels)
    content.update(labels)
    np.save(folder / "labels.npy", labels, allow_pickle=False)
    if weights is not None:
        content.start(weights)
        content.update(weights)
        np.save(folder / "weights.npy", weights, allow_pickle=False)
    (folder / "names.json").write_text(json.dumps(list(names), indent=0) + "\n", encoding="utf-8")
    if groups:
        (folder / "groups.json").write_text(json.dumps(list(groups), indent=0) + "\n", encoding="utf-8")
    _write_facts(name, len(labels), content.hexdigest(), folder)
    return content.hexdigest()


def _write_facts(name: SplitName, count: int, digest: str, folder: Path) -> None:
    facts = {"name": name, "count": count, "digest": digest}
    (folder / "split.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def stream_recordings(recordings: Rows, folder: Path) -> None:
    """Add recordings.npy, the sound of each spectrogram, to the folder of a split.

    Args:
        recordings: (n, samples) values of 16 bits.
        folder: Folder of the split.
    """
    _stream_array(recordings, folder / "recordings.npy", lambda _: None, "writing recordings, block")


def _stream_array(rows: Rows, path: Path, see: Callable[[NDArray[Any]], None], description: str) -> None:
    """Write an .npy file block by block, and pass each block to a function."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False, "shape": rows.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in progress(blocks(rows), description, block_count(rows)):
            file.write(block.data)
            see(block)


def read_split(folder: Path, name: SplitName) -> Split:
    """Read a split from a folder. The images are memory-mapped, not loaded.

    The stored name must match, so that no stage can read the test split in place of another one.

    Raises:
        UserError: The folder contains no split, a damaged one, or one with another name.
    """
    try:
        facts = json.loads((folder / "split.json").read_text(encoding="utf-8"))
        if facts["name"] != name:
            raise UserError(
                f"{folder}: must contain the {name} split, got the {facts['name']} split; "
                f"pass the folder that prepare wrote for the {name} split"
            )
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
        names = tuple(map(str, json.loads((folder / "names.json").read_text(encoding="utf-8"))))
        if not len(images) == len(labels) == facts["count"]:
            raise ValueError(f"expected {facts['count']} images, got {len(images)} images and {len(labels)} labels")
        grouped = folder / "groups.json"
        groups = tuple(map(str, json.loads(grouped.read_text(encoding="utf-8")))) if grouped.exists() else ()
        for what, given in (("name", names), ("group", groups)):
            if len(given) not in (0, len(labels)):
                raise ValueError(f"expected a {what} for each of {len(labels)} images, got {len(given)} {what}s")
        sound = folder / "recordings.npy"
        recordings = np.load(sound, mmap_mode="r", allow_pickle=False) if sound.exists() else None
        if recordings is not None and len(recordings) != len(labels):
            raise ValueError(f"expected a recording for each of {len(labels)} spectrograms, got {len(recordings)}")
        return Split(
            cast(SplitName, facts["name"]),
            images,
            labels,
            str(facts["digest"]),
            names,
            groups,
            recordings,
            _read_weights(folder / "weights.npy", len(labels)),
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder}: {Path(error.filename).name} is missing; run `dvc repro prepare`") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise UserError(
            f"{folder}: must be a split written by the stage prepare: {error}; run `dvc repro --force prepare`"
        ) from None


def _read_weights(path: Path, count: int) -> NDArray[np.float32] | None:
    """Read the weights of `count` images; None if there is no file.

    Raises:
        ValueError: The file does not contain a positive float32 number for each image.
    """
    if not path.exists():
        return None
    weights = np.load(path, allow_pickle=False)
    if weights.dtype != np.float32 or weights.shape != (count,):
        raise ValueError(f"expected {count} weights of float32, got {weights.dtype} of shape {weights.shape}")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"expected positive weights, got some from {weights.min()} to {weights.max()}")
    return np.asarray(weights, np.float32)


class _Digest:
    """SHA-256 of arrays: of the dtype, the shape and the values of each."""

    def __init__(self) -> None:
        self._content = hashlib.sha256()

    def start(self, array: Rows) -> None:
        """Begin the next array."""
        self._content.update(f"{array.dtype.str}{array.shape}".encode())

    def update(self, block: NDArray[Any]) -> None:
        """Add the next values of the array."""
        self._content.update(np.ascontiguousarray(block).data)

    def hexdigest(self) -> str:
        return self._content.hexdigest()


def _digest(images: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[np.float32] | None) -> str:
    content = _Digest()
    for array in (images, labels) if weights is None else (images, labels, weights):
        content.start(array)
        for block in blocks(array):
            content.update(block)
    return content.hexdigest()
