"""The stored state of an unfinished training run, in two generations."""

import logging
import os
from pathlib import Path

from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.files import remove_file, write_file
from pipeline.training.history import EpochMetrics
from pipeline.training.state import StateError, unpack

_LOGGER = logging.getLogger(__name__)

MAX_STATE_BYTES = 1 << 33  # the weights, their averages and the optimizer of a network of 300 million parameters


class Checkpoint:
    """The state after the last epoch, and the state after the epoch before it.

    Args:
        path: File of the last state. The one before it has the suffix `.previous`.
        key: Identifies the training, see `pipeline.training.fingerprint`.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._previous = path.with_suffix(".previous")
        self._key = key

    def write(self, state: bytes) -> None:
        """Write a state atomically. The last one becomes the one before it."""
        if self._path.exists():
            self._path.replace(self._previous)
        write_file(self._path, state)

    def read(self) -> tuple[bytes | None, tuple[EpochMetrics, ...]]:
        """Return the newest undamaged state of this training with its epochs, or None and no epochs."""
        damaged: list[Path] = []
        found: tuple[bytes | None, tuple[EpochMetrics, ...]] = None, ()
        for path in filter(os.path.lexists, (self._path, self._previous)):
            try:
                content = content_of(path, str(path), "a training state", MAX_STATE_BYTES)
                found = content, self._history(content)
                break
            except (MemoryError, StateError, UnreadableError):
                damaged.append(path)
                found = None, ()
        for path in damaged:
            used = "restarting the training" if found[0] is None else "using the state before it"
            _LOGGER.warning(f"{path}: damaged; {used}")
        return found

    def remove(self) -> None:
        """Delete both states."""
        for path in (self._path, self._previous):
            remove_file(path)

    def _history(self, content: bytes) -> tuple[EpochMetrics, ...]:
        state = unpack(content)
        if state.key != self._key:
            raise StateError(f"a state must be of the training {self._key}, got one of {state.key}")
        return state.history
