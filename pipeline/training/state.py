"""Serialize the state of a training run between two epochs, to resume it in another process."""

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.training.history import EpochMetrics

Arrays = Sequence[NDArray[Any]]


class StateError(ValueError):
    """The bytes are not the state of a training run, or are the state of a different one."""


@dataclass(frozen=True)
class State:
    """Everything that the next epoch depends on.

    Attributes:
        key: Identifies the training; only the same training may resume from the state.
        history: Metrics of the epochs so far.
        trainer: State of the trainer: weights, their averages, the optimizer, and the number of steps.
        best: Weights after the best epoch.
    """

    key: str
    history: tuple[EpochMetrics, ...]
    trainer: Arrays
    best: Arrays


def pack(state: State) -> bytes:
    """Serialize a state as an npz archive. Equal states produce identical bytes."""
    facts = json.dumps({"key": state.key, "history": [asdict(entry) for entry in state.history]})
    arrays: dict[str, NDArray[Any]] = {"facts": np.frombuffer(facts.encode(), dtype=np.uint8)}
    for part in ("trainer", "best"):
        for number, values in enumerate(getattr(state, part)):
            arrays[f"{part}.{number:04}"] = values
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def unpack(content: bytes) -> State:
    """Read a state from the bytes that `pack` returned.

    Raises:
        StateError: The bytes are damaged, or are not a state.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            facts = json.loads(archive["facts"].tobytes())
            history = tuple(EpochMetrics(**entry) for entry in facts["history"])
            parts = {
                part: [archive[name] for name in sorted(archive.files) if name.startswith(f"{part}.")]
                for part in ("trainer", "best")
            }
        state = State(key=facts["key"], history=history, **parts)
        if pack(state) != content:  # the checksums of zip cover the arrays, but not their names and positions
            raise ValueError("a modified archive")
        return state
    except (
        EOFError,
        KeyError,
        OSError,
        RuntimeError,  # raised by zipfile for flags that no state has
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise StateError(f"the state of a training run must be an npz archive from fit, got {error}") from None
