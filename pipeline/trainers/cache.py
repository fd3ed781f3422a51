"""Make trainers for the current Keras backend, and cache them between the rungs of a study."""

import gc
from collections import OrderedDict

from pipeline.backend.name import backend_name
from pipeline.data.dataset import Kind
from pipeline.data.kind import KINDS
from pipeline.digest import digest
from pipeline.errors import UserError
from pipeline.params.training import AugmentationParams
from pipeline.trainers.trainer import Plan, Trainer
from pipeline.trainers.trainer_steps import StepTrainer

# Number of trainers that are cached. Newer ones evict those of pruned trials.
MAX_CACHED = 8


def make_trainer(plan: Plan) -> Trainer:
    """Build a trainer for the current backend. It has to be started.

    Raises:
        Infeasible: The architecture does not fit its input.
        UserError: The device does not support the precision or has too few GPUs, the input does not support an
            augmentation, the backend does not support backbones, or the weights of one cannot be read.
    """
    _require_supported(plan.training.augmentation, plan.kind)
    if plan.architecture.backbone is not None and backend_name() == "jax":
        raise UserError(
            "model.backbone: requires KERAS_BACKEND tensorflow or torch, got jax; unset KERAS_BACKEND, or set "
            "model.backbone to null"
        )
    if _trains_with_keras(plan):
        from pipeline.trainers.trainer_keras import KerasTrainer

        return KerasTrainer(plan)
    match backend_name():
        case "tensorflow":
            from pipeline.trainers.steps_tensorflow import TensorFlowSteps

            return StepTrainer(plan, TensorFlowSteps(plan))
        case _:
            from pipeline.trainers.steps_jax import JaxSteps

            return StepTrainer(plan, JaxSteps(plan))


def _trains_with_keras(plan: Plan) -> bool:
    """Whether Keras's own loops train the network: there are no other steps for PyTorch and for backbones."""
    return backend_name() == "torch" or plan.architecture.backbone is not None


# What can be done to samples, in addition to noise: to images and volumes everything.
_AVAILABLE: dict[Kind, str] = {
    "series": "shift and zoom in time, flip: horizontal (time reversal) and noise",
    "audio": "shift and zoom in time, and noise",
}


def _require_supported(params: AugmentationParams, kind: Kind) -> None:
    """Check that a kind of samples supports the enabled transformations.

    Args:
        params: The transformations.
        kind: Kind of the samples.

    Raises:
        UserError: A transformation is enabled that makes no sense for the kind.
    """
    if kind not in _AVAILABLE:
        return
    flips = ("none", "horizontal") if kind == "series" else ("none",)
    asked = {"flip": params.flip not in flips, "rotate": params.rotate > 0}
    wrong = [f"training.augmentation.{key}" for key, wanted in asked.items() if wanted]
    if wrong:
        raise UserError(
            f"{', '.join(wrong)}: does not apply to {KINDS[kind].many}; set flip: none and rotate: 0.0. Available are "
            f"{_AVAILABLE[kind]}"
        )


def _key(plan: Plan) -> str:
    """Digest of what a trainer cannot change once it is built."""
    training, dataset = plan.training.model_dump(mode="json"), plan.dataset
    parts = [plan.architecture.digest, dataset.mean, dataset.std, dataset.dtype, plan.kind, plan.class_weights.tolist()]
    parts.append(plan.weighted)
    if plan.architecture.backbone is not None:
        parts.append(None if dataset.value_range is None else dataset.value_range.bounds)
    if _trains_with_keras(plan):  # Keras's layers contain the seed, and its optimizer the schedule
        filters = None if plan.first_filters is None else plan.first_filters.tolist()
        return digest(*parts, training, plan.seed, plan.learning_rates.tolist(), filters)
    for name in ("epochs", "learning_rate", "schedule", "patience"):
        del training[name]
    if backend_name() == "jax":  # limits the number of batches of one call
        parts.append(len(plan.learning_rates))
    return digest(*parts, training)


class TrainerCache:
    """Trainers of this process, by what they have in common with the next training run.

    Building and tracing a network takes longer than a short rung. A cached trainer gives the same results as a new one.
    """

    def __init__(self) -> None:
        self._trainers: OrderedDict[str, Trainer] = OrderedDict()

    def get(self, plan: Plan) -> Trainer:
        """Return a trainer for a training run, new or cached. It has to be started."""
        key = _key(plan)
        trainer = self._trainers.pop(key, None) or make_trainer(plan)
        self._trainers[key] = trainer
        while len(self._trainers) > MAX_CACHED:
            self._trainers.popitem(last=False)
            gc.collect()  # a graph refers to itself; Python would collect it much later
        return trainer

    def clear(self) -> None:
        """Remove all trainers."""
        self._trainers.clear()
        gc.collect()


TRAINER_CACHE = TrainerCache()
