"""Find the values of the search space that are nearest to the baseline."""

from collections.abc import Sequence
from typing import Any

from pipeline.params import ModelParams, SpaceParams, TrainingParams
from pipeline.params.space import RULES, Scalar
from search.space.draw import TRAINING_KEYS, draw_model


def nearest_to_baseline(space: SpaceParams, model: ModelParams, training: TrainingParams) -> dict[str, Scalar]:
    """Return the value nearest to the baseline's for each variable that a trial with these values draws.

    Trial 0 trains the baseline itself, but Optuna can learn only from values of the search space.
    """
    nearest = _Nearest(model, training)
    draw_model(nearest, space, model)
    return nearest.found


class _Nearest:
    """Draws the nearest values, so that exactly the variables of a trial with these values are drawn."""

    def __init__(self, model: ModelParams, training: TrainingParams) -> None:
        self._model = model
        self._training = training
        self.found: dict[str, Scalar] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._baseline(name)
        if _is_number(value) and all(isinstance(choice, int | float) for choice in choices):
            self.found[name] = min(choices, key=lambda choice: abs(float(choice) - value))
        else:
            self.found[name] = next((choice for choice in choices if choice == value), choices[0])
        return self.found[name]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        value = self._baseline(name)
        found = low + round((min(max(value, low), high) - low) / step) * step if _is_number(value) else low
        self.found[name] = found
        return found

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = self._baseline(name)
        found = min(max(float(value), low), high) if _is_number(value) else low
        if step is not None:
            found = low + round((found - low) / step) * step
        self.found[name] = found
        return found

    def _baseline(self, name: str) -> Any:
        if name in RULES:
            return _baseline_value(name, 0, self._model, self._training)
        key, number = name.rsplit("_", 1)
        return _baseline_value(key, int(number) - 1, self._model, self._training)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _baseline_value(key: str, number: int, model: ModelParams, training: TrainingParams) -> Any:
    """Return the baseline's value for a key, or None if it has no comparable value."""
    block = model.blocks[min(number, len(model.blocks) - 1)] if model.blocks else None
    match key:
        case "augmentation":
            return training.augmentation.strength
        case _ if key in TRAINING_KEYS:
            return getattr(training, key)
        case "blocks":
            return len(model.blocks)
        case "filter_growth":
            written = [each.filters for each in model.blocks]
            return written[1] / written[0] if len(written) > 1 else 1
        case "head":
            return model.head.kind
        case "dense_layers":
            return len(model.head.dense)
        case "dense_units":
            return model.head.dense[0] if model.head.dense else None
        case "head_dropout":
            return model.head.dropout
        case "pool_strides" if block is not None and block.pool_strides is None:
            return _largest(block.pool_size)
        case _:
            return None if block is None else _largest(getattr(block, key))


def _largest(value: Any) -> Any:
    """Return the largest extent, if there is one for each axis, or else the value itself."""
    return max(value) if isinstance(value, tuple) else value
