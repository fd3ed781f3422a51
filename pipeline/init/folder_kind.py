"""Recognize what the files of a folder are by their first bytes."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipeline.images.file_formats import SUFFIXES as IMAGES
from pipeline.images.file_formats import is_image
from pipeline.signals.recording import SUFFIXES as RECORDINGS
from pipeline.surveys.file_sample import spread_places
from pipeline.volumes.nifti import GZIP, is_nifti
from pipeline.volumes.read_volume import SUFFIXES as VOLUMES

_LISTED, _OPENED = 20_000, 60  # files
_HEAD = 2_048  # bytes
_FORM, _SOUND = b"RIFF", b"WAVE"
_RECORDINGS = (b"fLaC", b"OggS", b"RF64")
_ARRAY = b"\x93NUMPY"
_TABLES = (".csv", ".tsv", ".txt")
_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# Words for the files of each kind of source.
WORDS = {"images": "images", "audio": "recordings", "volumes": "volumes", "series": "series of numbers"}


class FolderKind(NamedTuple):
    """What most of the inspected files are.

    Attributes:
        kind: Kind of the source: images, series, audio or volumes.
        recognized: Number of the inspected files of this kind.
        inspected: Number of inspected files.
    """

    kind: str
    recognized: int
    inspected: int


def kind_of_folder(folder: Path) -> FolderKind:
    """Determine what most files below a folder are; images if no file is recognized."""
    return kind_of_files(list(islice(_files(folder), _LISTED)))


def kind_of_files(files: list[Path]) -> FolderKind:
    """Determine what most of some files are; images if no file is recognized."""
    chosen = [files[place] for place in spread_places(len(files), _OPENED)] if files else []
    found = Counter(kind for kind in map(kind_of_file, chosen) if kind)
    kind, recognized = found.most_common(1)[0] if found else ("images", 0)
    return FolderKind(kind, recognized, len(chosen))


def kind_of_file(path: Path) -> str | None:
    """Determine the kind of source that a file belongs to: by its content, or else by its ending; None: unknown."""
    head, name = _head(path), path.name.lower()
    if (head[:4] == _FORM and head[8:12] == _SOUND) or head.startswith(_RECORDINGS):
        return "audio"
    if is_image(head):
        return "images"
    if head.startswith(_ARRAY) or (is_nifti(head) and (head[:2] != GZIP or name.endswith(".nii.gz"))):
        return "volumes"
    if name.endswith(_TABLES) and _has_numbers(head):
        return "series"
    endings = {"images": IMAGES, "audio": RECORDINGS, "volumes": VOLUMES}
    return next((kind for kind, known in endings.items() if name.endswith(known)), None)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none if it cannot be read, or is not a regular file, which is not opened."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _has_numbers(head: bytes) -> bool:
    """Whether half of the fields in a line are numbers: the second line of a text, since the first may be names."""
    lines = [line for line in head.splitlines() if line.strip()][:2]
    fields = re.split(rb"\s*[,;\s]\s*", lines[-1].strip()) if lines else []
    return 0 < len(fields) <= 2 * sum(_NUMBER.fullmatch(field) is not None for field in fields)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in the order of their names, without hidden ones. Links are followed once."""
    seen = set()
    for above, names, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(above))
        names[:] = [name for name in _visible(names) if os.path.realpath(os.path.join(above, name)) not in seen]
        yield from (Path(above, name) for name in _visible(files))


def _visible(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith(".") and name != "__MACOSX")
