"""Rules for the section `model`: a baseline that fits the size and number of the inputs."""

import math
from dataclasses import dataclass
from typing import Any

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.geometry import Geometry, compute_geometry
from pipeline.errors import plural
from pipeline.init.data_rules import channels_of, extents, grid_of, split_sizes
from pipeline.init.kind_rules import KIND_RULES
from pipeline.params.model import ModelParams
from pipeline.params_file import validate
from pipeline.surveys.recommendation import Recommendation
from pipeline.surveys.survey import Survey

_MAX_BLOCKS = 5
_MIN_MAP = 2  # shorter side of the last feature map
_MAX_FLATTENED = 48  # shortest side of the inputs up to which positions in the last map matter
_FIRST_FILTERS = 16
# Number of training inputs from which twice as many filters and two convolutions per block are worthwhile. On 54,000
# images of Fashion-MNIST, networks with two convolutions reached a validation accuracy of 0.9367 in 4 epochs and 75 s,
# those with one 0.9295 in 10 epochs and 60 s.
_MANY_INPUTS = 5_000
_MIN_EPOCHS = 8  # number of epochs that must be affordable with two convolutions


@dataclass(frozen=True)
class Baseline:
    """The baseline for a dataset, with its cost."""

    model: ModelParams
    geometry: Geometry


def baseline(survey: Survey) -> Baseline:
    """Derive the baseline from the size, number, channels and classes of the inputs, and from the time for training."""
    inputs = split_sizes(survey)["train"]
    found = _baseline(survey, convs=1)
    if inputs >= _MANY_INPUTS:
        deeper = _baseline(survey, convs=2)
        if _MIN_EPOCHS * inputs * survey.time.seconds_per_image(deeper.geometry.macs) <= survey.time.final_seconds:
            return deeper
    return found


def _baseline(survey: Survey, convs: int) -> Baseline:
    filters = _FIRST_FILTERS * (2 if split_sizes(survey)["train"] >= _MANY_INPUTS else 1)
    blocks = [
        _block(filters * 2 ** ((number + 1) // 2), convs, kernel_size)
        for number, kernel_size in enumerate(_kernel_sizes(survey))
    ]
    model = {"blocks": blocks, "head": _head(survey)}
    params = validate(ModelParams, model, "init: model")
    shape = (*grid_of(survey), channels_of(survey))
    return Baseline(params, compute_geometry(Architecture.from_model(params, shape, len(survey.classes))))


def blocks_for(grid: tuple[int, ...]) -> int:
    """Number of blocks that halve the map until its shorter side is 2 or 3.

    The last convolution then sees the whole input. Drawn shapes of 64×64 need five blocks: with three, a network
    trained on 612 of them stayed at chance.
    """
    return max(1, min(_MAX_BLOCKS, int(math.log2(min(grid) / _MIN_MAP))))


def _kernel_sizes(survey: Survey) -> list[int]:
    """Kernel size of each block: that of the kind, or the largest odd one that fits the map."""
    grid = grid_of(survey)
    maps = [min(grid) >> number for number in range(blocks_for(grid))]
    return [min(KIND_RULES[survey.kind].kernel_size, max(3, extent - 1 + extent % 2)) for extent in maps]


def network_choices(survey: Survey) -> list[Recommendation]:
    """Choices for the section `model`."""
    found, train = baseline(survey), split_sizes(survey)["train"]
    count, grid = len(found.model.blocks), grid_of(survey)
    last = [max(1, extent >> count) for extent in grid]
    content = found.model.model_dump(mode="json")
    head = {key: content["head"][key] for key in ("kind", "dense", "dropout")}
    return [
        Recommendation(
            "model.blocks",
            [
                _block(block.filters, block.convs, kernel_size)
                for block, kernel_size in zip(found.model.blocks, _kernel_sizes(survey), strict=True)
            ],
            f"{count} {plural(count, 'block')} reduce{'s' * (count == 1)} {extents(grid)} to {extents(last)}. "
            f"{found.geometry.params:,} parameters for {train:,} training {survey.inputs[1]}; {found.geometry.macs:,} "
            f"multiply-accumulates per {survey.inputs[0]}.",
        ),
        Recommendation("model.head", head),
        Recommendation("model.head.kind", head["kind"], _head_reason(head["kind"], survey)),
    ]


def _block(filters: int, convs: int, kernel_size: int) -> dict[str, Any]:
    return {
        "filters": filters,
        "convs": convs,
        "kernel_size": kernel_size,
        "normalization": "batch",
        "pooling": "max",
        "pool_size": 2,
        "dropout": 0.0,
    }


def _head(survey: Survey) -> dict[str, Any]:
    """Objects in small inputs are mostly centred, so positions matter; in larger or cut ones they can be anywhere."""
    kind = "flatten" if min(grid_of(survey)) <= _MAX_FLATTENED and not survey.cut else "global_average"
    return {"kind": kind, "dense": [], "dropout": 0.2}


def _head_reason(kind: str, survey: Survey) -> str:
    objects = f"{KIND_RULES[survey.kind].objects} of {extents(grid_of(survey))}"
    if kind == "flatten":
        where = "centred" if survey.kind in ("image", "volume") else "in the same place"
        return f"{objects} are mostly {where} (assumed, not measured); a flattened map keeps positions."
    return f"{objects} can be anywhere; an averaged map does not depend on positions."
