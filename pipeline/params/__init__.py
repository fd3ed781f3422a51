"""Frozen, validated types for params.yaml."""

from pipeline.params.model import Block, Head, ModelParams
from pipeline.params.search import BudgetParams, RayParams, SearchParams
from pipeline.params.sections import (
    AugmentationParams,
    DataParams,
    EvaluateParams,
    InterpretationParams,
    Params,
    RegisterParams,
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
    "InterpretationParams",
    "ModelParams",
    "Params",
    "Range",
    "RayParams",
    "RegisterParams",
    "SearchParams",
    "SpaceParams",
    "TrainingParams",
    "XoParams",
]
