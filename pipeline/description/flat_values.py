"""Represent an architecture by flat values, for tables that compare several architectures."""

from typing import Any

from pipeline.cnn.architecture import Architecture
from pipeline.params import Block


def architecture_values(architecture: Architecture) -> dict[str, Any]:
    """Return the number of blocks, one value per key of the blocks, and the settings of the head.

    The values of all blocks are joined by slashes: `filters: 16/32` means 16 filters in the first block and 32 in the
    second.

    Args:
        architecture: The architecture.
    """
    values: dict[str, Any] = {"blocks": len(architecture.blocks)}
    dumped = [block.model_dump(mode="json") for block in architecture.blocks]
    for key in Block.model_fields:
        values[key] = "/".join(_cell(block[key]) for block in dumped)
    head, backbone = architecture.head, architecture.backbone
    if backbone is not None:
        values |= {
            "backbone": backbone.name,
            "alpha": backbone.alpha,
            "fine_tune": backbone.fine_tune,
            "weights": "random" if backbone.sha256 is None else backbone.sha256[:16],
        }
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
