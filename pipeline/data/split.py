"""A split of the prepared dataset: written once by prepare, read by every later stage."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Rows, block_count, blocks
from pipeline.digest import file_sha256
from pipeline.errors import UserError, message_of
from pipeline.file_content import read_json
from pipeline.terminal.progress import progress

SplitName = Literal["train", "val", "test"]
_FACTS = "split.json"
_RECORDINGS = "recordings.npy"
_REMEDY = "run `dvc repro --force prepare`"
_QUICK = 64  # blocks that are hashed within a second, without progress


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
    digest = _digest(images, labels, weights, f"hashing {name}, block")
    return Split(name, images, labels, digest, names, weights=weights)


def write_split(split: Split, folder: Path) -> None:
    """Write a split that is in memory."""
    stream_split(
        split.name, split.images, split.labels, split.names, folder, groups=split.groups, weights=split.weights
    )


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
    texts = {"names.json": names, "groups.json": groups} if groups else {"names.json": names}
    for file, lines in texts.items():
        (folder / file).write_text(json.dumps(list(lines), indent=0) + "\n", encoding="utf-8")
    files = {file: file_sha256(folder / file) for file in texts}
    _write_facts({"name": name, "count": len(labels), "digest": content.hexdigest(), "files": files}, folder)
    return content.hexdigest()


def _write_facts(facts: Mapping[str, Any], folder: Path) -> None:
    (folder / _FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def stream_recordings(recordings: Rows, folder: Path) -> None:
    """Add recordings.npy, the sound of each spectrogram, to the folder of a split.

    Args:
        recordings: (n, samples) values of 16 bits.
        folder: Folder of the split.
    """
    _stream_array(recordings, folder / _RECORDINGS, lambda _: None, "writing recordings, block")
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    facts["files"][_RECORDINGS] = file_sha256(folder / _RECORDINGS)
    _write_facts(facts, folder)


def _stream_array(rows: Rows, path: Path, see: Callable[[NDArray[Any]], None], description: str) -> None:
    """Write an .npy file block by block, and pass each block to a function."""
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False, "shape": rows.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in progress(blocks(rows), description, block_count(rows)):
            file.write(block.data)
            see(block)


def read_split(folder: Path, name: SplitName, verify: bool = True) -> Split:
    """Read a split from a folder. The images are memory-mapped, not loaded.

    The stored name must match, so that no stage can read the test split in place of another one.

    Args:
        folder: Folder that the stage prepare wrote.
        name: The split.
        verify: Whether to compare the content with its digests. Processes that read what another one has verified
            need not do it again.

    Raises:
        UserError: The folder contains no split, one that has changed since it was written, or one with another name.
    """
    try:
        facts = read_json(folder / _FACTS, "the description of a split", _REMEDY, dict[str, Any])
        if facts["name"] != name:
            raise UserError(
                f"{folder}: must contain the {name} split, got the {facts['name']} split; "
                f"pass the folder that prepare wrote for the {name} split"
            )
        images, labels = _mapped(folder / "images.npy"), _mapped(folder / "labels.npy")
        names = _read_texts(folder / "names.json")
        if len(images) != facts["count"] or labels.shape != (len(images),):
            raise ValueError(f"expected {facts['count']} images, got {len(images)} images and {len(labels)} labels")
        grouped = folder / "groups.json"
        groups = _read_texts(grouped) if grouped.exists() else ()
        for what, given in (("name", names), ("group", groups)):
            if len(given) not in (0, len(labels)):
                raise ValueError(f"expected a {what} for each of {len(labels)} images, got {len(given)} {what}s")
        sound = folder / _RECORDINGS
        recordings = _mapped(sound) if sound.exists() else None
        if recordings is not None and len(recordings) != len(labels):
            raise ValueError(f"expected a recording for each of {len(labels)} spectrograms, got {len(recordings)}")
        weights = _read_weights(folder / "weights.npy", len(labels))
        split = Split(name, images, np.array(labels), str(facts["digest"]), names, groups, recordings, weights)
        if verify:
            _verify(split, facts.get("files", {}), folder)
        return split
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, OverflowError) as error:
        reason = message_of(error)
        raise UserError(f"{folder}: must be a split written by the stage prepare: {reason}; {_REMEDY}") from None


def _mapped(path: Path) -> NDArray[Any]:
    """Map an array into memory, which reads nothing, so that its size can be checked before it is read.

    Raises:
        UserError: There is no such file; a pipe, for example, would wait for a writer.
        ValueError: The file is damaged, or is shorter than its header says.
    """
    if not path.is_file():
        raise UserError(f"{path}: must be an array written by the stage prepare, got no file; {_REMEDY}")
    return np.lib.format.open_memmap(path, mode="r")


def _read_texts(path: Path) -> tuple[str, ...]:
    return read_json(path, "a list with a text for each sample", _REMEDY, tuple[str, ...])


def _verify(split: Split, files: Mapping[str, str], folder: Path) -> None:
    """Compare the content of a split with its digests.

    Args:
        split: The split as it was read.
        files: SHA-256 of other files of the split. Splits of older versions have none.
        folder: Folder of the split.

    Raises:
        ValueError: The content has changed since it was written.
    """
    description = f"verifying {split.name}, block"
    if _digest(split.images, split.labels, split.weights, description) != split.digest:
        raise ValueError("images, labels or weights have changed since they were written")
    for file, known in files.items():
        if file_sha256(folder / file) != known:
            raise ValueError(f"{file} has changed since it was written")


def _read_weights(path: Path, count: int) -> NDArray[np.float32] | None:
    """Read the weights of `count` images; None if there is no file.

    Raises:
        ValueError: The file does not contain a positive float32 number for each image.
    """
    if not path.exists():
        return None
    weights = _mapped(path)
    if weights.dtype != np.float32 or weights.shape != (count,):
        raise ValueError(f"expected {count} weights of float32, got {weights.dtype} of shape {weights.shape}")
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"expected positive weights, got some from {weights.min()} to {weights.max()}")
    return np.array(weights)


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


def _digest(
    images: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[np.float32] | None, description: str
) -> str:
    content = _Digest()
    for array in (images, labels) if weights is None else (images, labels, weights):
        content.start(array)
        many = block_count(array)
        for block in progress(blocks(array), description, many) if many > _QUICK else blocks(array):
            content.update(block)
    return content.hexdigest()
