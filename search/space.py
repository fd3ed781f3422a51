"""A candidate drawn from `search.space`, a value at a time."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import effective
from pipeline.params import Block, Choices, Head, ModelParams, Range, SpaceParams, TrainingParams
from pipeline.params.model import Extent
from pipeline.params.space import NETWORK_KEYS, RULES, Scalar
from pipeline.terminal import UserError

TRAINING_KEYS = ("optimizer", "learning_rate", "weight_decay", "label_smoothing", "batch_size")
BLOCK_KEYS = tuple(key for key in RULES if key not in NETWORK_KEYS and key != "filters")


class Draws(Protocol):
    """The part of an Optuna trial that draws values."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


def check_space(space: SpaceParams, model: ModelParams) -> None:
    """Refuse a space that leaves a value of a block or of a dense layer open.

    Raises:
        UserError: says which key of `search.space` is missing, or too many.
    """
    if not model.blocks and space.blocks is not None and space.filters is None:
        raise UserError(
            "search.space.filters must be given where search.space.blocks is and model.blocks is empty, got nothing; "
            "give filters, or write a block into model.blocks"
        )
    if not model.head.dense and space.dense_layers is not None and space.dense_units is None:
        raise UserError(
            "search.space.dense_units must be given where search.space.dense_layers is and model.head.dense is empty, "
            "got nothing; give dense_units, or write a layer into model.head.dense"
        )
    if space.filters is not None and space.filters.per_block and space.filter_growth is not None:
        raise UserError(
            "search.space.filters must not be drawn per_block where search.space.filter_growth is given; "
            "leave one of them out"
        )


def variables(space: SpaceParams, model: ModelParams) -> dict[str, Range | Choices]:
    """What each trial draws, by the name Optuna knows it by.

    A key drawn per block stands here once for each block of the largest candidate, with the block's number (from 1)
    behind it. The ranges never depend on what was drawn, so that TPE models all of them together.
    """
    found: dict[str, Range | Choices] = {}
    most = len(model.blocks) if space.blocks is None else int(max(_values(space.blocks)))
    for key, values in space.given().items():
        if not values.per_block:
            found[key] = values
        else:
            found |= {f"{key}_{number}": values for number in range(1, most + 1)}
    return found


def draw(
    trial: Draws,
    space: SpaceParams,
    model: ModelParams,
    training: TrainingParams,
    input_shape: tuple[int, ...],
    classes: int,
) -> Candidate:
    """The candidate that a trial proposes, before anything is clipped to what fits.

    Keys left out of the space keep the baseline's value; blocks beyond the baseline's last one follow that one. A
    residual block is given padding `same`, whatever was drawn.
    """
    drawn = {name: _suggest(trial, name, values) for name, values in variables(space, model).items()}
    count = int(drawn.get("blocks", len(model.blocks)))
    return Candidate(
        architecture=Architecture(
            input_shape=input_shape,
            classes=classes,
            blocks=tuple(_block(drawn, model, number) for number in range(count)),
            head=_head(drawn, model.head),
        ),
        training={key: drawn[key] for key in TRAINING_KEYS if key in drawn},
    )


def propose(
    trial: Draws,
    space: SpaceParams,
    model: ModelParams,
    training: TrainingParams,
    input_shape: tuple[int, ...],
    classes: int,
) -> Candidate:
    """The candidate that a trial draws, with kernels, windows and strides clipped to what fits."""
    drawn = draw(trial, space, model, training, input_shape, classes)
    return drawn.model_copy(update={"architecture": effective(drawn.architecture)})


def nearest_to_baseline(space: SpaceParams, model: ModelParams, training: TrainingParams) -> dict[str, Scalar]:
    """For each variable, the value of the space that is nearest to the baseline's.

    Trial 0 trains the baseline itself, but Optuna can learn from a trial only through values of the space.
    """
    found: dict[str, Scalar] = {}
    for name, values in variables(space, model).items():
        key, number = name, 0
        if name not in RULES:
            key, suffix = name.rsplit("_", 1)
            number = int(suffix) - 1
        if not _fixed(values):
            found[name] = _nearest(values, _baseline_value(key, number, model, training))
    return found


def _suggest(trial: Draws, name: str, values: Range | Choices) -> Any:
    if _fixed(values):
        return values.choices[0] if isinstance(values, Choices) else values.low
    if isinstance(values, Choices):
        return trial.suggest_categorical(name, list(values.choices))
    if values.integral:
        step = int(values.step or 1)
        steps = (int(values.high) - int(values.low)) // step
        return trial.suggest_int(name, int(values.low), int(values.low) + steps * step, step=step, log=values.log)
    drawn = trial.suggest_float(name, float(values.low), _last_step(values), step=values.step, log=values.log)
    return drawn if values.step is None else float(f"{drawn:.10g}")  # 0.30000000000000004 is 0.3


def _fixed(values: Range | Choices) -> bool:
    return len(values.choices) == 1 if isinstance(values, Choices) else values.low == values.high


def _last_step(values: Range) -> float:
    """The largest value that whole steps from `low` reach."""
    if values.step is None:
        return float(values.high)
    low, high, step = (Decimal(str(value)) for value in (values.low, values.high, values.step))
    return float(low + (high - low) // step * step)


def _values(values: Range | Choices) -> tuple[Any, ...]:
    return values.choices if isinstance(values, Choices) else (values.low, values.high)


def _block(drawn: Mapping[str, Any], model: ModelParams, number: int) -> Block:
    """Block `number` (from 0): the baseline's, with the drawn values in place of its own."""
    content = model.blocks[min(number, len(model.blocks) - 1)].model_dump() if model.blocks else {}
    content["filters"] = _filters(drawn, model, number)
    for key in BLOCK_KEYS:
        value = drawn.get(f"{key}_{number + 1}", drawn.get(key))
        if value is not None:
            content[key] = value
    if content.get("residual"):
        content["padding"] = "same"
    return Block(**content)


def _filters(drawn: Mapping[str, Any], model: ModelParams, number: int) -> int:
    """Filters of the first block times the growth; without one, in the proportions of the baseline's blocks."""
    if f"filters_{number + 1}" in drawn:
        return int(drawn[f"filters_{number + 1}"])
    written = [block.filters for block in model.blocks] or [1]
    first = int(drawn.get("filters", written[0]))
    growth = drawn["filter_growth"] ** number if "filter_growth" in drawn else _written(written, number) / written[0]
    return max(1, round(first * float(growth)))


def _head(drawn: Mapping[str, Any], head: Head) -> Head:
    layers = int(drawn.get("dense_layers", len(head.dense)))
    units = drawn.get("dense_units")
    return head.model_copy(
        update={
            "kind": drawn.get("head", head.kind),
            "dense": tuple(int(units or _written(head.dense, layer)) for layer in range(layers)),
            "dropout": drawn.get("head_dropout", head.dropout),
        }
    )


def _written(values: Sequence[int], number: int) -> int:
    return values[min(number, len(values) - 1)]


def _baseline_value(key: str, number: int, model: ModelParams, training: TrainingParams) -> Any:
    """What the baseline has for a key; None where it has nothing that compares."""
    if key in TRAINING_KEYS:
        return getattr(training, key)
    block = model.blocks[min(number, len(model.blocks) - 1)] if model.blocks else None
    match key:
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
            value = None if block is None else getattr(block, key)
            return _largest(value) if isinstance(value, tuple) else value


def _largest(extent: Extent) -> int:
    return max(extent) if isinstance(extent, tuple) else extent


def _nearest(values: Range | Choices, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(values, Choices):
        if number and all(isinstance(choice, int | float) for choice in values.choices):
            return min(values.choices, key=lambda choice: abs(float(choice) - value))
        return next((choice for choice in values.choices if choice == value), values.choices[0])
    if not number:
        return values.low
    clipped = min(max(value, values.low), values.high if values.integral else _last_step(values))
    if values.integral:
        step = int(values.step or 1)
        highest = int(values.low) + (int(values.high) - int(values.low)) // step * step
        return min(highest, int(values.low) + round((clipped - values.low) / step) * step)
    if values.step is not None:
        return float(values.low + round((clipped - values.low) / values.step) * values.step)
    return float(clipped)
