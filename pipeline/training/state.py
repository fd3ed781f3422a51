"""The state of a training between two epochs, as bytes that continue it in another process."""

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
    """Bytes that are no state of a training, or the state of another one."""


@dataclass(frozen=True)
class State:
    """Everything that the next epoch depends on.

    Attributes:
        key: names the training; only the same training may continue from it.
        history: the epochs so far.
        network: values of all variables of the network, random generators included.
        optimizer: values of all variables of the optimizer.
        best: weights after the best epoch.
    """

    key: str
    history: tuple[EpochMetrics, ...]
    network: Arrays
    optimizer: Arrays
    best: Arrays


def pack(state: State) -> bytes:
    """The state as an npz archive; equal states give equal bytes."""
    facts = json.dumps({"key": state.key, "history": [asdict(entry) for entry in state.history]})
    arrays: dict[str, NDArray[Any]] = {"facts": np.frombuffer(facts.encode(), dtype=np.uint8)}
    for part in ("network", "optimizer", "best"):
        for number, values in enumerate(getattr(state, part)):
            arrays[f"{part}.{number:04}"] = values
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def unpack(content: bytes) -> State:
    """The state in the bytes that `pack` made.

    Raises:
        StateError: the bytes are damaged, or are something else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            facts = json.loads(archive["facts"].tobytes())
            history = tuple(EpochMetrics(**entry) for entry in facts["history"])
            parts = {
                part: [archive[name] for name in sorted(archive.files) if name.startswith(f"{part}.")]
                for part in ("network", "optimizer", "best")
            }
        state = State(key=facts["key"], history=history, **parts)
        if pack(state) != content:  # zip has checksums for the arrays, but not for their names and places
            raise ValueError("an altered one")
        return state
    except (
        EOFError,
        KeyError,
        OSError,
        RuntimeError,  # zipfile's for flags that no state has
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise StateError(f"a training's state must be an npz archive as fit gives it, got {error}") from None
