"""params.yaml as frozen, validated, documented types."""

from pipeline.params.load import ParamsError, load_params
from pipeline.params.model import Block, Head, ModelParams
from pipeline.params.sections import (
    AugmentationParams,
    BudgetParams,
    DataParams,
    EvaluateParams,
    Params,
    RegisterParams,
    SearchParams,
    TrainingParams,
    XoParams,
)
from pipeline.params.space import Choices, Range, SpaceParams

__all__ = [
    "AugmentationParams",
    "Block",
    "BudgetParams",
    "Choices",
    "DataParams",
    "EvaluateParams",
    "Head",
    "ModelParams",
    "Params",
    "ParamsError",
    "Range",
    "RegisterParams",
    "SearchParams",
    "SpaceParams",
    "TrainingParams",
    "XoParams",
    "load_params",
]
