"""The training states of the trials, stored after each rung."""

from collections.abc import Container
from pathlib import Path

from pipeline.files import write_file


class RungCheckpoints:
    """Stores the training state of each trial after its last rung, one file per trial.

    Args:
        folder: Folder of the study, such as studies/study-0123456789abcdef.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, number: int, resource: int, state: bytes) -> None:
        """Write a state atomically."""
        write_file(self._path(number, resource), state)

    def read(self, number: int, resource: int) -> bytes | None:
        """Return the state after a rung, or None if it is missing and the trial has to start over."""
        try:
            return self._path(number, resource).read_bytes()
        except FileNotFoundError:
            return None

    def remove_before(self, number: int, resource: int) -> None:
        """Delete the states of a trial's earlier rungs."""
        for path in self._folder.glob(f"{number}-*.npz"):
            if path != self._path(number, resource):
                path.unlink(missing_ok=True)

    def remove(self, numbers: Container[int]) -> None:
        """Delete all states of the given trials."""
        for path in self._folder.glob("*-*"):
            if int(path.name.partition("-")[0]) in numbers:
                path.unlink(missing_ok=True)

    def _path(self, number: int, resource: int) -> Path:
        return self._folder / f"{number}-{resource}.npz"
