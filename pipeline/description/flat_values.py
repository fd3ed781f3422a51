"""An architecture as a few flat values, to be compared with others column by column."""

from typing import Any

from pipeline.cnn.architecture import Architecture
from pipeline.params import Block


def architecture_values(architecture: Architecture) -> dict[str, Any]:
    """Number of blocks, each key of the blocks with its values between slashes, and the head.

    Args:
        architecture: such as one with `filters` of 16 in its first block and 32 in its second: `16/32`.
    """
    values: dict[str, Any] = {"blocks": len(architecture.blocks)}
    dumped = [block.model_dump(mode="json") for block in architecture.blocks]
    for key in Block.model_fields:
        values[key] = "/".join(_cell(block[key]) for block in dumped)
    head = architecture.head
    return values | {
        "head": head.kind,
        "dense": "/".join(str(units) for units in head.dense),
        "head_dropout": head.dropout,
    }


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "x".join(str(each) for each in value)
    return str(value) or "null"
