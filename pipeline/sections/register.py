"""The section `register` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.params.base import Section
from pipeline.sections.gate_rules import PromoteIf, parse_rule

ExportFormat = Literal["onnx", "litert"]


class RegisterParams(Section):
    """Name, gate rules and export formats of the registered model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$", max_length=200)] = Field(
        description="Name of the registered model."
    )
    gate: tuple[str, ...] = Field(
        max_length=1000,
        description="Rules that a champion must satisfy, e.g. accuracy >= 0.9; []: accuracy above chance\n\n"
        "Unless a rule limits the accuracy, the lower bound of its interval must be above the share of the largest "
        "class.",
    )
    promote_if: PromoteIf = Field(
        description="better (p < alpha, non-inferior) | not_worse (non-inferior) | higher (any improvement)\n\n"
        "Condition to replace the champion. better: significantly better and non-inferior; not_worse: non-inferior; "
        "higher: any improvement."
    )
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        description="Significance level of better: McNemar's p-value must be below it."
    )
    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        description="Non-inferiority margin: the whole interval of the difference must be above minus this."
    )
    exports: tuple[ExportFormat, ...] = Field(
        max_length=100, description="Additional export formats, compared with Keras on the test split: onnx, litert."
    )

    @field_validator("gate")
    @classmethod
    def _rules_parse(cls, gate: tuple[str, ...]) -> tuple[str, ...]:
        for rule in gate:
            parse_rule(rule)
        return gate
