"""A network with all that trains and judges it, kept warm between the rungs of its training."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.backend.epoch_metrics import EvaluationEpoch, TrainingEpoch

# Networks that wait, traced, for their next rung. Those of pruned trials wait in vain, until newer ones push them out.
MOST_CACHED = 4


@dataclass(frozen=True)
class Trainer:
    """A network that gives logits, its optimizer, and a pass of training and one of judging.

    Between two rungs nothing of it but its variables matters, and a training's state has them all.
    """

    network: Any
    optimizer: Any
    train: TrainingEpoch
    evaluate: EvaluationEpoch


class TrainerCache:
    """The trainers of this process whose training may go on, by the training's key.

    To build and trace a network takes longer than a short rung, and goes on from a state as well as a new one would.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Trainer] = OrderedDict()

    def take(self, key: str, make: Callable[[], Trainer]) -> Trainer:
        """The trainer that waits for this training, else a new one; nobody else gets it meanwhile."""
        return self._waiting.pop(key, None) or make()

    def put(self, key: str, trainer: Trainer) -> None:
        """Keep a trainer for the next rung."""
        self._waiting[key] = trainer
        while len(self._waiting) > MOST_CACHED:
            self._waiting.popitem(last=False)

    def clear(self) -> None:
        """Let all go."""
        self._waiting.clear()


TRAINER_CACHE = TrainerCache()
