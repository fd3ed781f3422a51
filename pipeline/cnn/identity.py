"""What names a training: all that its result follows from, the code among it."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pipeline.params
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.backend import LIBRARIES, Backend, backend_name
from pipeline.cnn.order import share_of_each_epoch
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split
from pipeline.digest import digest
from pipeline.params.sections import TrainingParams

_LIBRARIES = ("keras", "numpy")


def training_key(
    architecture: Architecture,
    training: TrainingParams,
    dataset: Dataset,
    train: Split,
    val: Split,
    seed: int,
    shares: Sequence[float] | None = None,
) -> str:
    """16 hexadecimal digits that name a training by everything that its result follows from."""
    return digest(
        architecture.model_dump(mode="json"),
        training.model_dump(mode="json"),
        [list(dataset.mean), list(dataset.std), list(dataset.classes), train.digest, val.digest],
        seed,
        list(share_of_each_epoch(shares, training.epochs)),
        training_code(),
    )


def training_code() -> str:
    """A digest of the sources, of the backend, and of the libraries that decide what a training gives."""
    return _code(backend_name())


@cache
def _code(backend: Backend) -> str:
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *Path(pipeline.params.__file__).parent.glob("*.py"), here.parent / "data/split.py"]
    versions = {library: version(library) for library in (*_LIBRARIES, *LIBRARIES[backend])}
    return digest([source_digest(path) for path in sorted(files)], backend, versions)


def source_digest(path: Path) -> str:
    """The SHA-256 of a source file's name and text."""
    return sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest()
