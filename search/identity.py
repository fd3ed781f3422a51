"""The name of a study: a digest of all that decides what its trials are and give."""

import hashlib
from importlib.metadata import version
from pathlib import Path

import pipeline.cnn
import pipeline.params
import search
from pipeline.data.dataset import Dataset
from pipeline.digest import digest
from pipeline.params import ModelParams, SearchParams, TrainingParams

# Raising or changing these goes on with the same study.
EXTENDS = {"trials", "storage", "engine", "max_failures"}
_DECIDING_MODULES = ("space", "sampler", "job", "study", "results")
_DECIDING_PACKAGES = ("keras", "numpy", "optuna", "tensorflow")


def study_name(
    model: ModelParams, training: TrainingParams, settings: SearchParams, dataset: Dataset, seed: int
) -> str:
    """`study-` and a digest of space, budget, rungs, baseline, training settings, data, seed and code.

    Args:
        model: the baseline.
        training: settings of the trials, with the study's own number of epochs.
        settings: of the study; what only extends it is left out.
        dataset: its digests of train and val count; the test split plays no part in a study.
        seed: of the whole pipeline.
    """
    data = {"digests": {name: dataset.digests[name] for name in ("train", "val")}, "classes": list(dataset.classes)}
    return "study-" + digest(
        model.model_dump(mode="json"),
        training.model_dump(mode="json"),
        settings.model_dump(mode="json", exclude=EXTENDS),
        data,
        seed,
        {package: version(package) for package in _DECIDING_PACKAGES},
        _code(),
    )


def _code() -> str:
    """A digest of the sources that decide what a study does."""
    here = Path(search.__file__).parent
    files = [here / f"{name}.py" for name in _DECIDING_MODULES]
    for package in (pipeline.cnn, pipeline.params):
        files += sorted(Path(package.__file__ or "").parent.glob("*.py"))
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()
