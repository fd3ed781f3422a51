"""The name of a study: a digest of all that decides what its trials are and give."""

from importlib.metadata import version
from pathlib import Path

import search
from pipeline.cnn.identity import source_digest, training_code
from pipeline.data.dataset import Dataset
from pipeline.digest import digest
from pipeline.params import ModelParams, SearchParams, TrainingParams

# Raising or changing these goes on with the same study.
EXTENDS = {"trials", "storage", "engine", "max_failures"}
_DECIDING_MODULES = (
    "baseline", "engine", "feasibility", "job", "results", "rungs", "sampler", "space", "stage", "study",
)  # fmt: skip


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
        version("optuna"),
        training_code(),
        [source_digest(Path(search.__file__ or "").with_name(f"{name}.py")) for name in _DECIDING_MODULES],
    )
