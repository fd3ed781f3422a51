"""The name of a study: a digest of all that decides what its trials are and give."""

from dataclasses import dataclass
from importlib.metadata import version

from pipeline.cnn.candidate import Candidate
from pipeline.data.dataset import Dataset
from pipeline.digest import digest
from pipeline.params import Choices, ModelParams, SearchParams, TrainingParams
from pipeline.params.search import WITHOUT_EFFECT
from pipeline.training.fingerprint import source_digests, training_code
from search.space.first_trials import enqueued_candidates
from search.study.rungs import with_long_rungs

# What a trial is and gives does not follow from these.
EXTENDS = WITHOUT_EFFECT | {"trials", "hours", "choose", "tolerance"}
# With the code of a training, all that decides the trials and their results is in these folders.
FOLDERS = ("search/space", "search/study")


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
        source_digests(FOLDERS),
    )
    return Identity(base, f"{base}-{settings.trials}", enqueued, training, settings)


def _largest_batch(settings: SearchParams, training: TrainingParams) -> int:
    """The largest batch size that a trial may have."""
    drawn = settings.space.batch_size
    if drawn is None:
        return training.batch_size
    sizes = drawn.choices if isinstance(drawn, Choices) else (drawn.high,)
    return max(training.batch_size, *(int(size) for size in sizes))
