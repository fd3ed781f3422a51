"""A file with a training's state, which outlives the process that wrote it."""

import os
from pathlib import Path


def write_checkpoint(state: bytes, path: Path) -> None:
    """Replace the file in one step: at any moment, power cuts included, it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(state)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_checkpoint(path: Path) -> bytes | None:
    """The state in the file; None if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def remove_checkpoint(path: Path) -> None:
    """Delete the file, and what killed processes left while they wrote it."""
    for file in (path, *path.parent.glob(f"{path.name}.*.tmp")):
        file.unlink(missing_ok=True)
