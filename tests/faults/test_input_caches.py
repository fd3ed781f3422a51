"""Files that earlier runs and downloads left, replaced by pickles that would run code."""

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.evaluation.ood import read_ood_detector
from pipeline.sources.keras_datasets import load_keras_dataset
from pipeline.training.state import StateError, unpack


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self._marker), "w")


def pickled(marker: Path) -> bytes:
    """A pickle that creates a file."""
    content = pickle.dumps(Bomb(marker))
    pickle.loads(content).close()
    assert marker.exists()
    marker.unlink()
    return content


def archive(marker: Path) -> bytes:
    """An npz archive whose array is a pickle that creates a file."""
    stream = io.BytesIO()
    np.savez(stream, facts=np.array([Bomb(marker)], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("content", [pickled, archive], ids=["pickle", "array of objects"])
def test_states_and_detectors_are_not_unpickled(content: Callable[[Path], bytes], tmp_path: Path) -> None:
    """States of training runs and detectors never run code.

    A state and a detector are replaced by a pickle, and by an array of pickled objects, that create a file.
    """
    marker = tmp_path / "code-ran"
    forged = content(marker)
    with pytest.raises(StateError):
        unpack(forged)
    (tmp_path / "detector.npz").write_bytes(forged)
    with pytest.raises(UserError, match=r"detector\.npz"):
        read_ood_detector(tmp_path / "detector.npz")
    assert not marker.exists()


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
def test_cached_datasets_of_keras_run_no_code(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloaded datasets in Keras's cache never run code, and damaged ones end in a message.

    The files of each dataset are replaced by pickles that create a file, as if the download had been replaced.
    """
    import keras.src.datasets as datasets

    marker = tmp_path / "code-ran"
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "train", "test"):
        (folder / file).write_bytes(pickled(marker))
    (tmp_path / "mnist.npz").write_bytes(archive(marker))
    with gzip.open(tmp_path / "labels.gz", "wb") as file:
        file.write(pickled(marker)[:7])
    places = {"mnist": tmp_path / "mnist.npz", "fashion_mnist": tmp_path / "labels.gz"}
    place = str(places.get(name, tmp_path if name == "cifar10" else folder))
    monkeypatch.setattr(getattr(datasets, name), "get_file", lambda *_, **__: place)
    with pytest.raises(UserError, match=rf"data.source: keras:{name}: (its files in Keras's cache are damaged|cannot)"):
        load_keras_dataset(name)
    assert not marker.exists()
