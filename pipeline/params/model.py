"""The section `model` of params.yaml: blocks and head, named as in Keras."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.base import PositiveInt, Rate, Section

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Attention = Literal["none", "squeeze_excite"]
Convolution = Literal["ordinary", "separable"]
HeadKind = Literal["flatten", "global_average", "global_max", "convolution"]
Normalization = Literal["none", "batch"]
Padding = Literal["same", "valid"]
Pooling = Literal["max", "average", "min", "sum", "none"]

Extent = PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=3)]


class Block(Section):
    """`convs` repetitions of convolution, normalization and activation, then optional pooling and dropout.

    kernel_size, strides, pool_size and pool_strides are one integer for all spatial axes, or one per axis.
    """

    filters: PositiveInt = Field(description="Output channels of each convolution in the block.")
    convs: PositiveInt = Field(default=1, description="Number of convolutions in the block.")
    kernel_size: Extent = Field(default=3, description="Kernel size of the convolutions.")
    strides: Extent = Field(default=1, description="Strides of the block's first convolution; the others use 1.")
    padding: Padding = Field(default="same", description="Padding of the convolutions, as in Keras.")
    convolution: Convolution = Field(default="ordinary", description="Ordinary or depthwise separable convolutions.")
    normalization: Normalization = Field(default="none", description="Normalization after each convolution.")
    activation: Activation = Field(default="relu", description="Activation function after each normalization.")
    residual: bool = Field(default=False, description="Add the block's input before its last activation.")
    attention: Attention = Field(default="none", description="Channel attention before the residual addition.")
    pooling: Pooling = Field(default="max", description="Pooling after the convolutions.")
    pool_size: Extent = Field(default=2, description="Pooling window.")
    pool_strides: Extent | None = Field(
        default=None, description="Strides of the pooling window; null: same as pool_size."
    )
    pool_first: bool = Field(
        default=False,
        description="Pool before the last normalization and activation, which makes these two cheaper.",
    )
    dropout: Rate = Field(default=0.0, description="Dropout rate at the end of the block.")

    @model_validator(mode="after")
    def _residual_keeps_the_grid(self) -> Self:
        if self.residual and self.padding != "same":
            raise ValueError(
                "residual: true requires padding: same, since the input is added to the output, "
                f"got padding: {self.padding}; set padding: same or residual: false"
            )
        return self

    @model_validator(mode="after")
    def _nothing_needs_the_map_that_is_pooled_first(self) -> Self:
        if self.pool_first and (self.residual or self.attention != "none"):
            raise ValueError(
                "pool_first: true requires residual: false and attention: none, which act on the map before pooling, "
                f"got residual: {str(self.residual).lower()}, attention: {self.attention}; set pool_first: false"
            )
        return self


class Head(Section):
    """Layers from the last feature map to the class scores: a reduction, hidden dense layers and the output layer.

    With `kind: convolution` the dense layers are convolutions: the first has a kernel of the size of the feature map,
    the others have kernels of size 1.
    """

    kind: HeadKind = Field(default="flatten", description="Reduction of the last feature map.")
    dense: tuple[PositiveInt, ...] = Field(default=(), description="Units of each hidden dense layer.")
    activation: Activation = Field(default="relu", description="Activation function of the hidden dense layers.")
    dropout: Rate = Field(default=0.0, description="Dropout rate before each dense layer and the output layer.")


class ModelParams(Section):
    """The baseline architecture, which is trial 0 of every study."""

    blocks: tuple[Block, ...] = Field(description="Convolutional blocks, input first; may be empty.")
    head: Head = Field(description="Layers from the last feature map to the class scores.")
