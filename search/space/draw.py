"""Draw a candidate from `search.space`, one value at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import AUGMENTATION_STRENGTH, Candidate
from pipeline.cnn.clipping import clip_architecture
from pipeline.errors import UserError
from pipeline.params import Block, Choices, Head, ModelParams, Range, SpaceParams, TrainingParams
from pipeline.params.space import NETWORK_KEYS, RULES, Scalar
from search.space.values import Draws, listed, suggest

Value = TypeVar("Value")

# These keys decide which of the other keys matter, so they are drawn first.
DECIDING_KEYS = ("blocks", "dense_layers", "residual", "attention", "pooling")
BLOCK_KEYS = tuple(key for key in sorted(RULES, key=lambda key: key not in DECIDING_KEYS) if key not in NETWORK_KEYS)
# Keys of the space that are training settings, and their names in a candidate.
TRAINING_KEYS = {
    **{key: key for key in ("optimizer", "learning_rate", "weight_decay", "label_smoothing", "batch_size")},
    "augmentation": AUGMENTATION_STRENGTH,
}


def check_space(space: SpaceParams, model: ModelParams, training: TrainingParams) -> None:
    """Reject a space that leaves a value undefined, or that draws a value without effect.

    Raises:
        UserError: A key of `search.space` is missing or superfluous. The message names it.
    """
    if not model.blocks and space.blocks is not None and space.filters is None:
        raise UserError(
            "search.space.filters: required if search.space.blocks is given and model.blocks is empty, got nothing; "
            "add filters, or add a block to model.blocks"
        )
    if not model.head.dense and space.dense_layers is not None and space.dense_units is None:
        raise UserError(
            "search.space.dense_units: required if search.space.dense_layers is given and model.head.dense is empty, "
            "got nothing; add dense_units, or add a layer to model.head.dense"
        )
    if space.filters is not None and space.filters.per_block and space.filter_growth is not None:
        raise UserError(
            "search.space.filters: cannot be drawn per_block if search.space.filter_growth is given; remove one of them"
        )
    if space.batch_size is not None and (odd := [size for size in listed(space.batch_size) if size % training.gpus]):
        raise UserError(
            f"search.space.batch_size: training.gpus must divide each batch size, got {odd[0]} and training.gpus: "
            f"{training.gpus}; change one of them"
        )
    amounts = training.augmentation
    if space.augmentation is not None and not (amounts.shift or amounts.rotate or amounts.zoom or amounts.noise):
        raise UserError(
            "search.space.augmentation is a factor on shift, rotate, zoom and noise of training.augmentation, which "
            "are all 0; remove it, or set one of them above 0"
        )


def variables(space: SpaceParams, model: ModelParams) -> dict[str, Range | Choices]:
    """Return the variables that a trial can draw, by their Optuna parameter names.

    A key drawn per block has one variable for each block of the largest candidate, with the block number (from 1) as a
    suffix. A trial draws only the variables that matter for its candidate. The ranges never depend on drawn values, so
    that TPE can model them jointly.
    """
    found: dict[str, Range | Choices] = {}
    most = len(model.blocks) if space.blocks is None else max(listed(space.blocks))
    for key, values in space.given().items():
        if not values.per_block:
            found[key] = values
        else:
            found |= {f"{key}_{number}": values for number in range(1, most + 1)}
    return found


def matters(key: str, block: Mapping[str, Any]) -> bool:
    """Return whether a key of a block affects the network, given the block's residual, attention and pooling."""
    pooled, residual, attends = block["pooling"] != "none", bool(block["residual"]), block["attention"] != "none"
    match key:
        case "padding":
            return not residual
        case "pool_size" | "pool_strides":
            return bool(pooled)
        case "pool_first":
            return bool(pooled and not residual and not attends)
        case _:
            return True


def draw(trial: Draws, space: SpaceParams, model: ModelParams, input_shape: tuple[int, ...], classes: int) -> Candidate:
    """Return the candidate that a trial proposes, before anything is clipped to fit the input.

    The trial draws only variables that matter: per-block keys for the blocks that exist, `dense_units` if there is a
    dense layer, `pool_size` if a block is pooled, and so on. The deciding keys are drawn first.

    Keys that are missing from the space, and keys that do not matter, keep the baseline's value. Blocks beyond the
    baseline's last block copy that block. A residual block always has padding `same`. A block with a residual
    connection or attention never has `pool_first`.
    """
    drawn, settings = draw_model(trial, space, model)
    architecture = Architecture(input_shape=input_shape, classes=classes, blocks=drawn.blocks, head=drawn.head)
    return Candidate(architecture=architecture, training=settings)


def propose(
    trial: Draws, space: SpaceParams, model: ModelParams, input_shape: tuple[int, ...], classes: int
) -> Candidate:
    """Return the candidate that a trial draws, with kernels, windows and strides clipped to fit the input."""
    drawn = draw(trial, space, model, input_shape, classes)
    return drawn.model_copy(update={"architecture": clip_architecture(drawn.architecture)})


def draw_model(trial: Draws, space: SpaceParams, model: ModelParams) -> tuple[ModelParams, dict[str, Scalar]]:
    """Return the blocks and head that a trial proposes, regardless of the input, and the drawn training settings."""
    given = space.given()

    def ask(key: str, otherwise: Any = None) -> Any:
        return suggest(trial, key, given[key]) if key in given else otherwise

    count = int(ask("blocks", len(model.blocks)))
    layers = int(ask("dense_layers", len(model.head.dense)))
    blocks = _blocks(trial, given, model, count)
    if blocks and not drawn_per_block("filters", given):
        growth = ask("filter_growth") if count > 1 else None
        first, written = blocks[0]["filters"], [block.filters for block in model.blocks] or [1]
        for number, block in enumerate(blocks):
            factor = _at(written, number) / written[0] if growth is None else float(growth) ** number
            block["filters"] = max(1, round(first * factor))
    drawn = ModelParams(blocks=tuple(Block(**block) for block in blocks), head=_head(ask, model.head, layers))
    return drawn, {name: ask(key) for key, name in TRAINING_KEYS.items() if key in given}


def written_block(model: ModelParams, number: int) -> dict[str, Any]:
    """Return the values of block `number` (from 0) that apply where the space draws nothing."""
    return (_at(model.blocks, number) if model.blocks else Block(filters=1)).model_dump()


def drawn_per_block(key: str, given: Mapping[str, Range | Choices]) -> bool:
    """Return whether the space draws a key separately for each block."""
    return key in given and given[key].per_block


def _blocks(trial: Draws, given: Mapping[str, Range | Choices], model: ModelParams, count: int) -> list[dict[str, Any]]:
    blocks = [written_block(model, number) for number in range(count)]
    for key in BLOCK_KEYS:
        concerned = [number for number in range(count) if key in given and matters(key, blocks[number])]
        if drawn_per_block(key, given):
            for number in concerned:
                blocks[number][key] = suggest(trial, f"{key}_{number + 1}", given[key])
        elif concerned:
            value = suggest(trial, key, given[key])
            for number in concerned:
                blocks[number][key] = value
    for block in blocks:
        if block["residual"]:
            block["padding"] = "same"
        if block["residual"] or block["attention"] != "none":
            block["pool_first"] = False
    return blocks


def _head(ask: Callable[..., Any], head: Head, layers: int) -> Head:
    units = ask("dense_units") if layers else None
    return head.model_copy(
        update={
            "kind": ask("head", head.kind),
            "dense": tuple(int(units or _at(head.dense, layer)) for layer in range(layers)),
            "dropout": ask("head_dropout", head.dropout),
        }
    )


def _at(values: Sequence[Value], number: int) -> Value:
    """Return the value at an index, or the last value if the index is beyond the end."""
    return values[min(number, len(values) - 1)]
