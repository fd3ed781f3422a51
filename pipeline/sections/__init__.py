"""All sections of params.yaml as frozen, validated types."""

from pipeline.sections.data import DataParams, XoParams
from pipeline.sections.evaluate import EvaluateParams, InterpretationParams
from pipeline.sections.params import Params
from pipeline.sections.register import RegisterParams

__all__ = ["DataParams", "EvaluateParams", "InterpretationParams", "Params", "RegisterParams", "XoParams"]
