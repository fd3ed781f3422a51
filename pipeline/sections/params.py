"""All sections of params.yaml."""

from pydantic import Field

from pipeline.params.base import NonNegativeInt, Section
from pipeline.params.model import ModelParams
from pipeline.params.search import SearchParams
from pipeline.params.training import TrainingParams
from pipeline.sections.data import DataParams
from pipeline.sections.evaluate import EvaluateParams
from pipeline.sections.register import RegisterParams


class Params(Section):
    """The complete content of params.yaml."""

    seed: NonNegativeInt = Field(description="Seed of all random choices.")
    data: DataParams = Field(description=DataParams.__doc__)
    model: ModelParams = Field(description=ModelParams.__doc__)
    training: TrainingParams = Field(description=TrainingParams.__doc__)
    search: SearchParams = Field(description=SearchParams.__doc__)
    evaluate: EvaluateParams = Field(description=EvaluateParams.__doc__)
    register_: RegisterParams = Field(alias="register", description=RegisterParams.__doc__)
