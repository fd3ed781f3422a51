"""The training states of the trials, stored after each rung."""

import hashlib
import logging
import re
from collections.abc import Container, Iterator
from pathlib import Path

from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.files import write_file
from pipeline.training.checkpoint import MAX_STATE_BYTES

_LOGGER = logging.getLogger(__name__)

_NAME = re.compile(r"(\d+)-(\d+)\.npz(\.\d+\.tmp)?")  # trial, resource, and what a killed process left
_DIGEST_BYTES = hashlib.sha256().digest_size


class RungCheckpoints:
    """Stores the training states of each trial after its last two rungs, in files of their own.

    A file starts with the digest of the study, trial, rung and state that it belongs to. Other files in the folder are
    ignored.

    Args:
        folder: Folder of the study, such as studies/study-0123456789abcdef.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, number: int, resource: int, state: bytes) -> None:
        """Write a state atomically."""
        write_file(self._path(number, resource), self._digest(number, resource, state) + state)

    def read(self, number: int, resource: int) -> bytes | None:
        """Return the newest undamaged state of a trial that is not after a rung, or None if it has to start over."""
        stored = {found for path, trial, found in self._files() if trial == number and path.suffix == ".npz"}
        for found in sorted((each for each in stored if each <= resource), reverse=True):
            path = self._path(number, found)
            try:
                content = content_of(path, str(path), "a training state", MAX_STATE_BYTES)
                state = content[_DIGEST_BYTES:]
                if self._digest(number, found, state) == content[:_DIGEST_BYTES]:
                    return state
            except (UnreadableError, MemoryError):  # for example, a huge file, or a link to a device
                pass
            _LOGGER.warning(f"{path}: damaged; trial {number} repeats this rung")
        return None

    def remove_before(self, number: int, resource: int) -> None:
        """Delete the states of a trial's rungs before a rung."""
        for path, trial, found in self._files():
            if trial == number and found < resource:
                path.unlink(missing_ok=True)

    def remove(self, numbers: Container[int]) -> None:
        """Delete all states of the given trials."""
        for path, trial, _ in self._files():
            if trial in numbers:
                path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        """Yield each file of a state with its trial and its resource, and unfinished files."""
        for path in sorted(self._folder.glob("*-*")):
            if (name := _NAME.fullmatch(path.name)) and path.is_file():
                yield path, int(name[1]), int(name[2])

    def _path(self, number: int, resource: int) -> Path:
        return self._folder / f"{number}-{resource}.npz"

    def _digest(self, number: int, resource: int, state: bytes) -> bytes:
        digest = hashlib.sha256(f"{self._folder.name} {number} {resource}\n".encode())
        digest.update(state)
        return digest.digest()
