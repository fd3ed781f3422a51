"""Make trainers for the current Keras backend, and cache them between the rungs of a study."""

import gc
from collections import OrderedDict

from pipeline.backend.name import backend_name
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
        UserError: The device does not support the precision or has too few GPUs, or the input does not support an
            augmentation.
    """
    _require_supported(plan.training.augmentation, plan.architecture.rank)
    match backend_name():
        case "tensorflow":
            from pipeline.trainers.steps_tensorflow import TensorFlowSteps

            return StepTrainer(plan, TensorFlowSteps(plan))
        case "jax":
            from pipeline.trainers.steps_jax import JaxSteps

            return StepTrainer(plan, JaxSteps(plan))
        case "torch":
            from pipeline.trainers.trainer_keras import KerasTrainer

            return KerasTrainer(plan)


def _require_supported(params: AugmentationParams, rank: int) -> None:
    """Check that a grid supports the enabled transformations.

    Args:
        params: The transformations.
        rank: Number of spatial axes. Images have 2; other grids support noise only.

    Raises:
        UserError: A transformation other than noise is enabled for a grid that is not an image.
    """
    asked = {
        "flip": params.flip != "none",
        "shift": params.shift > 0,
        "rotate": params.rotate > 0,
        "zoom": params.zoom > 0,
    }
    geometric = [f"training.augmentation.{key}" for key, wanted in asked.items() if wanted]
    if rank != 2 and geometric:
        raise UserError(
            f"{', '.join(geometric)}: requires images (2-D grids), got a {rank}-D grid; set flip: none and the other "
            "keys to 0.0 (noise is available for every grid)"
        )


def _key(plan: Plan) -> str:
    """Digest of what a trainer cannot change once it is built."""
    training, dataset = plan.training.model_dump(mode="json"), plan.dataset
    parts = [plan.architecture.digest, dataset.mean, dataset.std, dataset.dtype, plan.class_weights.tolist()]
    if backend_name() == "torch":  # Keras's layers contain the seed, and its optimizer the schedule
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
