"""The section `model` of params.yaml: blocks, head and backbone, named as in Keras."""

from pathlib import PurePath
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from pipeline.params.base import MAX_DEPTH, Depth, LearningRate, PositiveInt, Rate, Section, Width

Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Attention = Literal["none", "squeeze_excite"]
Convolution = Literal["ordinary", "separable"]
HeadKind = Literal["flatten", "global_average", "global_max", "convolution"]
Normalization = Literal["none", "batch"]
Padding = Literal["same", "valid"]
Pooling = Literal["max", "average", "min", "sum", "none"]

MobileNetName = Literal["mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]
BackboneName = Literal[
    MobileNetName,
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnetv2_b0",
    "efficientnetv2_b1",
    "efficientnetv2_b2",
    "efficientnetv2_b3",
    "efficientnetv2_s",
    "efficientnetv2_m",
    "efficientnetv2_l",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet50v2",
    "resnet101v2",
    "resnet152v2",
]
FineTune = Literal["none", "last", "all"]
MIN_INPUT_SIZE = 32  # the smallest input that keras.applications allows for these networks
WEIGHTS_SUFFIXES = (".h5", ".hdf5")

Extent = PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=3)]


class Block(Section):
    """`convs` repetitions of convolution, normalization and activation, then optional pooling and dropout.

    kernel_size, strides, pool_size and pool_strides are one integer for all spatial axes, or one per axis.
    """

    filters: Width = Field(description="Output channels of each convolution in the block.")
    convs: Depth = Field(default=1, description="Number of convolutions in the block.")
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
    dense: tuple[Width, ...] = Field(default=(), max_length=MAX_DEPTH, description="Units of each hidden dense layer.")
    activation: Activation = Field(default="relu", description="Activation function of the hidden dense layers.")
    dropout: Rate = Field(default=0.0, description="Dropout rate before each dense layer and the output layer.")


class BackboneParams(Section):
    """A network of keras.applications without its top, which becomes the baseline in place of `model.blocks`."""

    name: BackboneName = Field(description="Name of the network, in lower case, as in keras.applications.")
    weights: str | None = Field(
        default=None,
        description="Local file with the weights, saved by Keras (.weights.h5 or .h5); null: random initial values.",
    )
    fine_tune: FineTune = Field(
        default="none",
        description="Layers that training changes: none of the backbone, the last (those of its last resolution), "
        "or all; without weights, all is required.",
    )
    alpha: Annotated[float, Field(ge=0.05, le=10.0)] = Field(
        default=1.0, description="Width of a mobilenet: factor for its number of filters; 1.0 for other networks."
    )
    input_size: Annotated[int, Field(ge=MIN_INPUT_SIZE, le=8192)] = Field(
        default=MIN_INPUT_SIZE,
        description="Images whose shorter side is smaller are enlarged to this size within the network.",
    )
    learning_rate: LearningRate | None = Field(
        default=None, description="Peak learning rate of the baseline; null: that of training."
    )
    head: Head = Field(
        default=Head(kind="global_average", dropout=0.2),
        description="Layers from the backbone's last feature map to the class scores.",
    )

    @model_validator(mode="after")
    def _weights_are_a_file_of_keras(self) -> Self:
        if self.weights is not None and PurePath(self.weights).suffix not in WEIGHTS_SUFFIXES:
            raise ValueError(
                f"weights: must be a file that ends in .weights.h5 or .h5, got {self.weights!r}; save it with Keras's "
                "save_weights, see docs/backbones.md"
            )
        return self

    @model_validator(mode="after")
    def _frozen_layers_have_learned_something(self) -> Self:
        if self.weights is None and self.fine_tune != "all":
            raise ValueError(
                f"fine_tune: {self.fine_tune} requires weights, since frozen layers with random values are of no use, "
                "got weights: null; name a file of weights, or set fine_tune: all"
            )
        return self

    @model_validator(mode="after")
    def _only_a_mobilenet_has_an_alpha(self) -> Self:
        if self.alpha != 1.0 and self.name not in get_args(MobileNetName):
            raise ValueError(
                f"alpha: must be 1.0 unless name is one of {', '.join(get_args(MobileNetName))}, got {self.alpha:g} "
                f"for {self.name}; remove it"
            )
        return self


class ModelParams(Section):
    """The baseline architecture, which is trial 0 of every study."""

    blocks: tuple[Block, ...] = Field(
        max_length=MAX_DEPTH, description="Convolutional blocks, input first; may be empty."
    )
    head: Head = Field(description="Layers from the last feature map to the class scores.")
    backbone: BackboneParams | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="Network of keras.applications that is the baseline in place of blocks and head; null: none.",
    )
