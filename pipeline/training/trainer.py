"""Cache built and traced networks between the rungs of their training."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.backend.epoch_metrics import EvaluationEpoch, TrainingEpoch

# Number of traced networks that are cached for their next rung. Newer ones evict those of pruned trials.
MAX_CACHED = 4


@dataclass(frozen=True)
class Trainer:
    """A network that returns logits, its optimizer, and its training and evaluation epochs.

    Between two rungs only the variables matter, and the state of a training run contains all of them.
    """

    network: Any
    optimizer: Any
    train: TrainingEpoch
    evaluate: EvaluationEpoch


class TrainerCache:
    """Trainers of this process whose training may continue, by the key of the training.

    Building and tracing a network takes longer than a short rung. A cached trainer resumes from a state as a new one
    would.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Trainer] = OrderedDict()

    def take(self, key: str, make: Callable[[], Trainer]) -> Trainer:
        """Remove and return the cached trainer of this training run, or create a new one."""
        return self._waiting.pop(key, None) or make()

    def put(self, key: str, trainer: Trainer) -> None:
        """Cache a trainer for the next rung."""
        self._waiting[key] = trainer
        while len(self._waiting) > MAX_CACHED:
            self._waiting.popitem(last=False)

    def clear(self) -> None:
        """Remove all trainers."""
        self._waiting.clear()


TRAINER_CACHE = TrainerCache()
