"""The name of a study: a digest of all that decides what its trials are and give."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import search
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.identity import source_digest, training_code
from pipeline.data.dataset import Dataset
from pipeline.digest import digest
from pipeline.params import Choices, ModelParams, SearchParams, TrainingParams
from pipeline.params.search import WITHOUT_EFFECT
from search.baseline import enqueued_candidates
from search.rungs import with_long_rungs

# What a trial is and gives does not follow from these.
EXTENDS = WITHOUT_EFFECT | {"trials", "hours", "choose", "tolerance"}
# What runs, reports and shows a study has no part in it.
MODULES_WITHOUT_EFFECT = frozenset({
    "__init__", "__main__", "dashboard", "doubt", "engine", "importance", "interactive", "lock", "pictures", "plan",
    "precheck", "ray_cluster", "ray_engine", "records", "report", "size", "sole_writer", "status", "storage", "table",
})  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """What names a study, and what that follows from.

    Attributes:
        base: shared by the studies that differ in their number of trials only.
        name: of the study.
        enqueued: what the user wants tried after the baseline.
        training: settings of the trials, apart from what they draw.
        settings: of the study, with the epochs that the first rung needs on these data.
    """

    base: str
    name: str
    enqueued: tuple[Candidate, ...]
    training: TrainingParams
    settings: SearchParams


def identify(
    model: ModelParams, training: TrainingParams, settings: SearchParams, dataset: Dataset, seed: int
) -> Identity:
    """The identity of a study: a digest of space, budget, rungs, baseline, training settings, data, seed and code.

    Args:
        model: the baseline.
        training: settings of the final training.
        settings: of the study; what only extends it is left out.
        dataset: its digests of train and val count; the test split plays no part in a study.
        seed: of the whole pipeline.

    Raises:
        UserError: an enqueued file cannot be read, or does not fit.
    """
    classes = len(dataset.classes)
    enqueued = enqueued_candidates(settings.enqueue, training, dataset.input_shape, classes, settings.budget)
    settings = with_long_rungs(settings, sum(dataset.counts["train"].values()), _largest_batch(settings, training))
    training = training.model_copy(update={"epochs": settings.epochs, "patience": None})
    data = {"digests": {name: dataset.digests[name] for name in ("train", "val")}, "classes": list(dataset.classes)}
    base = "study-" + digest(
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
    return Identity(base, f"{base}-{settings.trials}", enqueued, training, settings)


def _largest_batch(settings: SearchParams, training: TrainingParams) -> int:
    """The largest batch size that a trial may have."""
    drawn = settings.space.batch_size
    if drawn is None:
        return training.batch_size
    sizes = drawn.choices if isinstance(drawn, Choices) else (drawn.high,)
    return max(training.batch_size, *(int(size) for size in sizes))


def _deciding_modules() -> list[Path]:
    modules = Path(search.__file__ or "").parent.glob("*.py")
    return sorted(
        path for path in modules if path.stem not in MODULES_WITHOUT_EFFECT and not path.stem.startswith("page")
    )
