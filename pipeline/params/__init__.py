"""The sections of params.yaml that determine the results of training runs or studies, as frozen, validated types."""

from pipeline.params.model import Block, Head, ModelParams
from pipeline.params.search import BudgetParams, RayParams, SearchParams
from pipeline.params.space import Choices, Range, SpaceParams
from pipeline.params.training import AugmentationParams, TrainingParams

__all__ = [
    "AugmentationParams",
    "Block",
    "BudgetParams",
    "Choices",
    "Head",
    "ModelParams",
    "Range",
    "RayParams",
    "SearchParams",
    "SpaceParams",
    "TrainingParams",
]
