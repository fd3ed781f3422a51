"""Identify a training run by everything that determines its result, including the code."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

from pipeline.backend.name import LIBRARIES, Backend, backend_name
from pipeline.backend.precision import compute_dtype
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.digest import digest, source_digests
from pipeline.params.training import TrainingParams
from pipeline.training.epoch_order import share_of_each_epoch

# These folders contain all code that determines the result of a training run.
FOLDERS = (
    "pipeline/backbones",
    "pipeline/backend",
    "pipeline/cnn",
    "pipeline/data",
    "pipeline/params",
    "pipeline/trainers",
    "pipeline/training",
)
_LIBRARIES = ("keras", "numpy")


def training_key(
    architecture: Architecture,
    training: TrainingParams,
    data: TrainingData,
    seed: int,
    shares: Sequence[float] | None = None,
) -> str:
    """16 hexadecimal digits that identify a training run by everything that determines its result.

    That includes the compute dtype on this device, so that a training run does not continue in another one.

    Raises:
        Infeasible: The architecture does not fit its input.
        UserError: The device does not support the precision.
    """
    dataset = data.dataset
    pixels = [] if architecture.backbone is None else [dataset.value_range and dataset.value_range.bounds]
    return digest(
        architecture.model_dump(mode="json"),
        training.model_dump(mode="json"),
        compute_dtype(training.precision, compute_geometry(architecture)),
        [list(dataset.mean), list(dataset.std), list(dataset.classes), data.train.digest, data.val.digest],
        seed,
        list(share_of_each_epoch(shares, training.epochs)),
        training_code(),
        *pixels,
    )


def training_code() -> str:
    """Digest of the sources, the backend and the library versions that determine the result of a training run."""
    return code_of(backend_name())


@cache
def code_of(backend: Backend) -> str:
    """`training_code` for a given backend."""
    return digest(source_digests(FOLDERS), backend, _versions(backend))


def training_versions() -> dict[str, str]:
    """Versions of the libraries that determine the result of a training run, and the digest of `training_code`."""
    return {"backend": backend_name(), **_versions(backend_name()), "the project's code": training_code()}


def _versions(backend: Backend) -> dict[str, str]:
    return {library: version(library) for library in (*_LIBRARIES, *LIBRARIES[backend])}
