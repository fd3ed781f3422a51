"""The section `evaluate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import BatchSize, Epochs, PositiveInt, Section
from pipeline.sections.gate_rules import Corruption


class OutOfDistributionParams(Section):
    """Detection of inputs that are unlike the training data."""

    score: Literal["features", "energy", "softmax"] = Field(
        description="Score: features (distance in the last layer's input), energy or softmax (of its output)."
    )
    false_positive_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        description="Fraction of familiar inputs that may be marked unfamiliar; determines the threshold."
    )
    outliers: str | None = Field(
        description="Unfamiliar test images: a folder of files or an .npy file; null: generated images."
    )


class PixelPermutationParams(Section):
    """Train the architecture twice for a few epochs: on the images, and on permuted images."""

    images: PositiveInt = Field(description="Maximum number of training images.")
    epochs: Epochs = Field(description="Epochs of each of the two training runs.")


class InterpretationParams(Section):
    """Number of images, channels and patches in the visualizations of the network."""

    images: Annotated[int, Field(ge=1, le=20)] = Field(
        description="Number of images with feature maps and saliency maps."
    )
    channels: Annotated[int, Field(ge=1, le=32)] = Field(description="Number of channels per layer with projections.")
    patches: Annotated[int, Field(ge=1, le=9)] = Field(description="Number of strongest activations shown per channel.")


class EvaluateParams(Section):
    """Settings of the evaluation on the test split."""

    confidence_level: Annotated[float, Field(ge=0.5, lt=1.0)] = Field(description="Confidence level of all intervals.")
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(description="Bootstrap samples per interval.")
    top_k: PositiveInt = Field(description="Number of most likely classes considered by top_k_accuracy.")
    calibration_bins: Annotated[int, Field(ge=1, le=100)] = Field(
        description="Number of bins of the calibration error."
    )
    mistakes: Annotated[int, Field(ge=0, le=100)] = Field(
        description="Number of worst mistakes and of least certain correct predictions shown."
    )
    batch_size: BatchSize = Field(description="Images per prediction batch.")
    corruptions: tuple[Corruption, ...] = Field(
        max_length=100, description="Corruptions of the test images, each at five severities; []: none."
    )
    out_of_distribution: OutOfDistributionParams = Field(description=OutOfDistributionParams.__doc__)
    pixel_permutation: PixelPermutationParams = Field(description=PixelPermutationParams.__doc__)
    interpretation: InterpretationParams = Field(description=InterpretationParams.__doc__)
