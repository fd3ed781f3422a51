"""The search space: for each key a value, a list, or a range."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from pipeline.params.base import (
    MAX_DEPTH,
    BatchSize,
    Depth,
    LearningRate,
    NonNegativeFloat,
    PositiveInt,
    Rate,
    Section,
    Width,
)
from pipeline.params.model import Activation, Attention, Convolution, HeadKind, Normalization, Padding, Pooling

Optimizer = Literal["sgd", "adam", "adamw"]
Scalar = bool | int | float | str
_MAX_STEPS = 1_000_000


class Range(Section):
    """Values from `low` to `high`, both inclusive; integers if both bounds are integers."""

    low: int | float = Field(description="Smallest value.")
    high: int | float = Field(description="Largest value.")
    step: int | float | None = Field(
        default=None, description="Distance between neighbouring values; null: 1 for integers, otherwise continuous."
    )
    log: bool = Field(default=False, description="Draw on a logarithmic scale.")
    per_block: bool = Field(default=False, description="Draw a separate value for each block.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got low: {self.low}, high: {self.high}; swap them")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, got {self.step}; write a positive step, or remove it")
        if self.step is not None and self.log:
            raise ValueError(f"step and log cannot be combined, got step: {self.step}, log: true; remove one of them")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 with log: true, got {self.low}; raise low, or remove log")
        if self.integral and isinstance(self.step, float):
            raise ValueError(
                f"step must be an integer if low and high are integers, got {self.step}; write an integer step, or "
                "low and high with a decimal point"
            )
        if self.step is not None and (self.high - self.low) / self.step > _MAX_STEPS:
            raise ValueError(
                f"must have at most {_MAX_STEPS:,} steps, got step: {self.step} from {self.low} to {self.high}; "
                "write a larger step"
            )
        return self

    @property
    def integral(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class Choices(Section):
    """One of several values. A plain list in params.yaml is equivalent."""

    choices: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000, strict=False)] = Field(
        description="The values."
    )
    per_block: bool = Field(default=False, description="Draw a separate value for each block.")

    @field_validator("choices")
    @classmethod
    def _distinct(cls, choices: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        if len({(type(choice), choice) for choice in choices}) < len(choices):
            raise ValueError(f"must not contain duplicates, got {list(choices)}; remove them")
        return choices


def _in_long_form(values: object) -> object:
    """Expand a value or a list of values to `{choices: [...]}`."""
    if isinstance(values, dict):
        return values
    return {"choices": values if isinstance(values, list | tuple) else (values,)}


def _form(values: object) -> str:
    if isinstance(values, dict):
        return "choices" if "choices" in values else "range"
    return "choices" if isinstance(values, Choices) else "range"


_SCALAR_SCHEMA: dict[str, Any] = {"type": ["boolean", "number", "string"]}
_NUMBER_SCHEMA: dict[str, Any] = {"type": "number"}
_LIST_SCHEMA: dict[str, Any] = {"type": "array", "minItems": 1, "maxItems": 1000, "items": _SCALAR_SCHEMA}
_VALUES_SCHEMA: dict[str, Any] = {
    "anyOf": [
        _SCALAR_SCHEMA,
        _LIST_SCHEMA,
        {
            "type": "object",
            "required": ["choices"],
            "additionalProperties": False,
            "properties": {"choices": _LIST_SCHEMA, "per_block": {"type": "boolean"}},
        },
        {
            "type": "object",
            "required": ["low", "high"],
            "additionalProperties": False,
            "properties": {
                "low": _NUMBER_SCHEMA,
                "high": _NUMBER_SCHEMA,
                "step": {"anyOf": [_NUMBER_SCHEMA, {"type": "null"}]},
                "log": {"type": "boolean"},
                "per_block": {"type": "boolean"},
            },
        },
    ]
}

Values = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_form),
    BeforeValidator(_in_long_form),
    WithJsonSchema(_VALUES_SCHEMA),
]


class SpaceParams(Section):
    """The search space. A key that is left out keeps its value in `model:` or `training:`."""

    blocks: Values | None = Field(default=None, description="Number of blocks.")
    filters: Values | None = Field(default=None, description="Number of filters of the first block.")
    filter_growth: Values | None = Field(
        default=None, description="Factor by which the filters grow from one block to the next."
    )
    convs: Values | None = Field(default=None, description="Number of convolutions per block.")
    kernel_size: Values | None = Field(default=None, description="Kernel size of the convolutions.")
    strides: Values | None = Field(default=None, description="Strides of a block's first convolution.")
    padding: Values | None = Field(default=None, description="Padding of the convolutions.")
    convolution: Values | None = Field(default=None, description="Ordinary or depthwise separable convolutions.")
    normalization: Values | None = Field(default=None, description="Normalization after each convolution.")
    activation: Values | None = Field(default=None, description="Activation function of the blocks.")
    residual: Values | None = Field(default=None, description="Residual connections.")
    attention: Values | None = Field(default=None, description="Channel attention.")
    pooling: Values | None = Field(default=None, description="Pooling after the convolutions.")
    pool_size: Values | None = Field(default=None, description="Pooling window.")
    pool_strides: Values | None = Field(default=None, description="Strides of the pooling window.")
    pool_first: Values | None = Field(default=None, description="Pool before normalization and activation.")
    dropout: Values | None = Field(default=None, description="Dropout rate at the end of each block.")
    head: Values | None = Field(default=None, description="Kind of head.")
    dense_layers: Values | None = Field(default=None, description="Number of hidden dense layers.")
    dense_units: Values | None = Field(default=None, description="Units of each hidden dense layer.")
    head_dropout: Values | None = Field(default=None, description="Dropout rate in the head.")
    optimizer: Values | None = Field(default=None, description="Optimizer.")
    learning_rate: Values | None = Field(default=None, description="Peak learning rate.")
    weight_decay: Values | None = Field(default=None, description="Decoupled weight decay.")
    label_smoothing: Values | None = Field(default=None, description="Label smoothing.")
    batch_size: Values | None = Field(default=None, description="Images per optimizer step.")
    augmentation: Values | None = Field(default=None, description="Strength of the augmentation.")

    @field_validator("*")
    @classmethod
    def _values_are_valid(cls, values: Values | None, info: ValidationInfo) -> Values | None:
        if values is None or info.field_name is None:
            return values
        if values.per_block and info.field_name in NETWORK_KEYS:
            raise ValueError(f"{info.field_name} is sampled once per network, got per_block: true; remove per_block")
        rule: TypeAdapter[Any] = TypeAdapter(RULES[info.field_name])
        for value in (values.low, values.high) if isinstance(values, Range) else values.choices:
            rule.validate_python(value, strict=True)
        return values

    def given(self) -> dict[str, Range | Choices]:
        """The keys that are set, in the order of the fields."""
        return {key: values for key, values in self if values is not None}


# Type of each key's values: that of the key in `model:` or `training:` that they replace.
RULES: dict[str, Any] = {
    "blocks": Depth,
    "filters": Width,
    "filter_growth": Annotated[float, Field(ge=0.01, le=100.0)],
    "convs": Depth,
    "kernel_size": PositiveInt,
    "strides": PositiveInt,
    "padding": Padding,
    "convolution": Convolution,
    "normalization": Normalization,
    "activation": Activation,
    "residual": bool,
    "attention": Attention,
    "pooling": Pooling,
    "pool_size": PositiveInt,
    "pool_strides": PositiveInt,
    "pool_first": bool,
    "dropout": Rate,
    "head": HeadKind,
    "dense_layers": Annotated[int, Field(ge=0, le=MAX_DEPTH)],
    "dense_units": Width,
    "head_dropout": Rate,
    "optimizer": Optimizer,
    "learning_rate": LearningRate,
    "weight_decay": NonNegativeFloat,
    "label_smoothing": Rate,
    "batch_size": BatchSize,
    "augmentation": NonNegativeFloat,
}

# Keys that are drawn once per network; every other architecture key may be drawn `per_block`.
NETWORK_KEYS = frozenset(
    {"blocks", "filter_growth", "head", "dense_layers", "dense_units", "head_dropout"}
    | {"optimizer", "learning_rate", "weight_decay", "label_smoothing", "batch_size", "augmentation"}
)
