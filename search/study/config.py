"""The constants of a study, and its name: a digest of everything that determines its trials and their results."""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Protocol

from pipeline.cnn.candidate import Candidate
from pipeline.data.dataset import Dataset, Kind
from pipeline.data.kind import KINDS, KindWords
from pipeline.digest import digest, source_digests
from pipeline.params import Choices, ModelParams, SearchParams, TrainingParams
from pipeline.params.search import WITHOUT_EFFECT
from pipeline.params.space import Scalar
from pipeline.training.fingerprint import training_code
from search.space.first_trials import baseline_candidate, enqueued_candidates
from search.space.nearest_params import nearest_to_baseline
from search.study.rungs import Rung, make_rungs, with_long_rungs

# Settings that affect neither the candidate nor the result of a trial.
EXTENDS = WITHOUT_EFFECT | {"trials", "timeout_hours", "choose", "tolerance", "finalists"}
# Together with the training code, the code in these folders determines the trials and their results.
FOLDERS = ("search/space", "search/study")


class StudyParams(Protocol):
    """The sections of params.yaml on which a study depends."""

    @property
    def model(self) -> ModelParams: ...
    @property
    def training(self) -> TrainingParams: ...
    @property
    def search(self) -> SearchParams: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class EnqueuedTrial:
    """A candidate that is tried exactly as the user specified it.

    Attributes:
        candidate: The candidate.
        nearest: The values of the search space that are nearest to it, by variable.
        place: Where params.yaml specifies it.
    """

    candidate: Candidate
    nearest: dict[str, Scalar]
    place: str


@dataclass(frozen=True)
class StudyConfig:
    """The constants of a study.

    Attributes:
        base: Prefix of the name, shared by the studies that differ only in their number of trials.
        name: Name of the study.
        settings: The section `search` of params.yaml, with `min_epochs` raised until the first rung has `min_steps`
            steps on these data.
        training: Training settings of every trial, except those that it draws. `epochs` is that of the study.
        model: The section `model` of params.yaml. It provides the values that the search space leaves out.
        first_trials: The baseline and the candidates of `search.enqueue`, in order.
        input_shape: Spatial extents and channels of an image.
        classes: Number of classes.
        images: Number of images in the training split.
        val_images: Number of images in the validation split.
        seed: The seed of the whole pipeline.
        kind: What a sample is.
    """

    base: str
    name: str
    settings: SearchParams
    training: TrainingParams
    model: ModelParams
    first_trials: tuple[EnqueuedTrial, ...]
    input_shape: tuple[int, ...]
    classes: int
    images: int
    val_images: int
    seed: int
    kind: Kind = "image"

    @property
    def words(self) -> KindWords:
        """What readers call the samples."""
        return KINDS[self.kind]

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs, in order."""
        return make_rungs(self.settings)


def study_config(params: StudyParams, dataset: Dataset) -> StudyConfig:
    """Compute the constants of the study that params.yaml describes.

    The name is a digest of space, budget, rungs, baseline, training settings, data, seed and code.

    Args:
        params: The sections `model`, `training` and `search`, and the seed. Settings of `search` that only extend a
            study do not change its base.
        dataset: The dataset. Only its classes and its train and val splits count, because a study never uses the test
            split.

    Raises:
        UserError: The baseline does not fit, an enqueued file cannot be read, or its network does not fit.
    """
    model, training, settings = params.model, params.training, params.search
    shape, classes = dataset.input_shape, len(dataset.classes)
    images, val_images = (sum(dataset.counts[name].values()) for name in ("train", "val"))
    enqueued = enqueued_candidates(settings.enqueue, training, shape, classes, settings.budget, dataset.kind)
    baseline = baseline_candidate(model, shape, classes, settings.budget, dataset.kind)
    first_trials = [EnqueuedTrial(baseline, nearest_to_baseline(settings.space, model, training), "model")]
    for file, candidate in zip(settings.enqueue, enqueued, strict=True):
        as_model = ModelParams(blocks=candidate.architecture.blocks, head=candidate.architecture.head)
        nearest = nearest_to_baseline(settings.space, as_model, candidate.overlay(training))
        first_trials.append(EnqueuedTrial(candidate, nearest, f"search.enqueue: {file}"))
    settings = with_long_rungs(settings, images, _largest_batch(settings, training))
    training = training.model_copy(update={"epochs": settings.epochs, "patience": None, "gpus": 1})
    data = {"digests": {name: dataset.digests[name] for name in ("train", "val")}, "classes": list(dataset.classes)}
    base = "study-" + digest(
        model.model_dump(mode="json"),
        [candidate.digest for candidate in (baseline, *enqueued)],  # that of a backbone depends on its file of weights
        training.model_dump(mode="json"),
        settings.model_dump(mode="json", exclude={*EXTENDS, "enqueue"}),
        data,
        params.seed,
        version("optuna"),
        training_code(),
        source_digests(FOLDERS),
    )
    return StudyConfig(
        base=base,
        name=f"{base}-{settings.trials}",
        settings=settings,
        training=training,
        model=model,
        first_trials=tuple(first_trials),
        input_shape=shape,
        classes=classes,
        images=images,
        val_images=val_images,
        seed=params.seed,
        kind=dataset.kind,
    )


def _largest_batch(settings: SearchParams, training: TrainingParams) -> int:
    """Return the largest batch size that a trial can have."""
    drawn = settings.space.batch_size
    if drawn is None:
        return training.batch_size
    sizes = drawn.choices if isinstance(drawn, Choices) else (drawn.high,)
    return max(training.batch_size, *(int(size) for size in sizes))
