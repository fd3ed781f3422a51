"""The name of a study: a digest of everything that determines its trials and their results."""

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

# Settings that affect neither the candidate nor the result of a trial.
EXTENDS = WITHOUT_EFFECT | {"trials", "timeout_hours", "choose", "tolerance"}
# Together with the training code, the code in these folders determines the trials and their results.
FOLDERS = ("search/space", "search/study")


@dataclass(frozen=True)
class Identity:
    """The name of a study, and the resolved settings that it is derived from.

    Attributes:
        base: Prefix of the name, shared by the studies that differ only in their number of trials.
        name: Name of the study.
        enqueued: The candidates to try after the baseline.
        training: Training settings of the trials, except those that they draw.
        settings: The section `search` of params.yaml, with `min_epochs` raised as the first rung needs for these data.
    """

    base: str
    name: str
    enqueued: tuple[Candidate, ...]
    training: TrainingParams
    settings: SearchParams


def identify(
    model: ModelParams, training: TrainingParams, settings: SearchParams, dataset: Dataset, seed: int
) -> Identity:
    """Return the identity of a study: a digest of space, budget, rungs, baseline, training settings, data, seed, code.

    Args:
        model: The section `model` of params.yaml, the baseline.
        training: The section `training` of params.yaml.
        settings: The section `search` of params.yaml. Settings that only extend a study do not change its base.
        dataset: The dataset. Only its classes and its train and val splits count, because a study never uses the test
            split.
        seed: The seed of the whole pipeline.

    Raises:
        UserError: An enqueued file cannot be read, or its network does not fit.
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
    """Return the largest batch size that a trial can have."""
    drawn = settings.space.batch_size
    if drawn is None:
        return training.batch_size
    sizes = drawn.choices if isinstance(drawn, Choices) else (drawn.high,)
    return max(training.batch_size, *(int(size) for size in sizes))
