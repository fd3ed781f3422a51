"""What names a training: all that its result follows from, the code among it."""

from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pipeline.params
from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split
from pipeline.digest import digest
from pipeline.params.sections import TrainingParams

_LIBRARIES = ("keras", "numpy", "tensorflow")


def training_key(
    architecture: Architecture, training: TrainingParams, dataset: Dataset, train: Split, val: Split, seed: int
) -> str:
    """16 hexadecimal digits that name a training by everything that its result follows from."""
    return digest(
        architecture.model_dump(mode="json"),
        training.model_dump(mode="json"),
        [list(dataset.mean), list(dataset.std), list(dataset.classes), train.digest, val.digest],
        seed,
        training_code(),
    )


@cache
def training_code() -> str:
    """A digest of the sources and of the libraries that decide what a training gives."""
    here = Path(__file__).parent
    files = [*here.glob("*.py"), *Path(pipeline.params.__file__).parent.glob("*.py"), here.parent / "data/split.py"]
    return digest(
        [source_digest(path) for path in sorted(files)], {library: version(library) for library in _LIBRARIES}
    )


def source_digest(path: Path) -> str:
    """The SHA-256 of a source file's name and text."""
    return sha256(path.name.encode() + b"\0" + path.read_bytes()).hexdigest()
