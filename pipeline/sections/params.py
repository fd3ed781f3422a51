"""All sections of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.params.base import MAX_WIDTH, Section
from pipeline.params.model import ModelParams
from pipeline.params.search import SearchParams
from pipeline.params.space import Choices, Range
from pipeline.params.training import TrainingParams
from pipeline.sections.data import DataParams
from pipeline.sections.evaluate import EvaluateParams
from pipeline.sections.register import RegisterParams


class Params(Section):
    """The complete content of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(description="Seed of all random choices.")
    data: DataParams = Field(description=DataParams.__doc__)
    model: ModelParams = Field(description=ModelParams.__doc__)
    training: TrainingParams = Field(description=TrainingParams.__doc__)
    search: SearchParams = Field(description=SearchParams.__doc__)
    evaluate: EvaluateParams = Field(description=EvaluateParams.__doc__)
    register_: RegisterParams = Field(alias="register", description=RegisterParams.__doc__)

    @model_validator(mode="after")
    def _drawn_filters_are_bounded(self) -> Self:
        """The last block of a candidate is the widest one: the filters of the first one, times growth per block."""
        space, written = self.search.space, [block.filters for block in self.model.blocks] or [1]
        if space.filters is None and space.filter_growth is None:
            return self
        growth = _largest(space.filter_growth)
        factor = growth ** (_largest(space.blocks, len(self.model.blocks)) - 1) if growth else max(written) / written[0]
        widest = _largest(space.filters, written[0]) * max(1.0, factor)
        if widest > MAX_WIDTH:
            raise ValueError(
                f"search.space: filters, filter_growth and blocks must lead to at most {MAX_WIDTH:,} filters, got "
                f"about {widest:.3g} in the last block; lower one of them"
            )
        return self


def _largest(values: Range | Choices | None, otherwise: float = 0.0) -> float:
    if values is None:
        return otherwise
    return float(values.high if isinstance(values, Range) else max(float(each) for each in values.choices))
