"""The name of a study: a digest of all that decides what its trials are and give."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import search
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.identity import source_digest, training_code
from pipeline.data.dataset import Dataset
from pipeline.digest import digest
from pipeline.params import ModelParams, SearchParams, TrainingParams
from pipeline.params.search import WITHOUT_EFFECT

# What a trial is and gives does not follow from these.
EXTENDS = WITHOUT_EFFECT | {"trials", "choose", "tolerance"}
# What reports and shows a study has no part in it.
REPORTING_MODULES = frozenset(
    {"__init__", "__main__", "dashboard", "importance", "interactive", "outline", "page", "pictures", "plan"}
    | {"records", "report", "size", "status", "table"}
)


def study_name(
    model: ModelParams,
    enqueued: Sequence[Candidate],
    training: TrainingParams,
    settings: SearchParams,
    dataset: Dataset,
    seed: int,
) -> str:
    """`study-` and a digest of space, budget, rungs, baseline, training settings, data, seed and code.

    The study of so many trials has their number behind that name. It takes over what others of the name have trained.

    Args:
        model: the baseline.
        enqueued: what the user wants tried after it.
        training: settings of the trials, with the study's own number of epochs.
        settings: of the study; what only extends it is left out.
        dataset: its digests of train and val count; the test split plays no part in a study.
        seed: of the whole pipeline.
    """
    data = {"digests": {name: dataset.digests[name] for name in ("train", "val")}, "classes": list(dataset.classes)}
    return "study-" + digest(
        model.model_dump(mode="json"),
        [candidate.digest for candidate in enqueued],
        training.model_dump(mode="json"),
        settings.model_dump(mode="json", exclude={*EXTENDS, "enqueue"}),
        data,
        seed,
        version("optuna"),
        training_code(),
        [source_digest(path) for path in _deciding_modules()],
    )


def _deciding_modules() -> list[Path]:
    modules = Path(search.__file__ or "").parent.glob("*.py")
    return sorted(path for path in modules if path.stem not in REPORTING_MODULES)
