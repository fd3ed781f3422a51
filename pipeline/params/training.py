"""The section `training` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.base import BatchSize, Epochs, LearningRate, NonNegativeFloat, Parallel, Rate, Section
from pipeline.params.space import Optimizer


class AugmentationParams(Section):
    """Random transformations of the training images, drawn for each image in each epoch."""

    strength: NonNegativeFloat = Field(description="Factor for shift, rotate, zoom and noise; 1.0: as given, 0: off.")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(description="Random flips.")
    shift: Rate = Field(description="Maximum shift along each axis, as a fraction of the extent.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        description="Maximum rotation in either direction, in degrees."
    )
    zoom: Rate = Field(description="Maximum change of scale; 0.1 draws scales from 0.9 to 1.1.")
    noise: NonNegativeFloat = Field(
        description="Standard deviation of the added Gaussian noise, in standardized units."
    )

    def scaled(self) -> Self:
        """The settings that training applies: `strength` is 1, and the amounts are multiplied by the former strength.

        The amounts stay within their valid ranges.
        """

        def below_one(amount: float) -> float:
            return min(amount * self.strength, max(amount, 0.99))

        amounts = {
            "shift": below_one(self.shift),
            "rotate": min(self.rotate * self.strength, 180.0),
            "zoom": below_one(self.zoom),
            "noise": self.noise * self.strength,
        }
        return self.model_copy(update={"strength": 1.0, **amounts})


class TrainingParams(Section):
    """Settings of the training of one network."""

    epochs: Epochs = Field(description="Maximum number of passes over the training images.")
    batch_size: BatchSize = Field(description="Images per optimizer step.")
    optimizer: Optimizer = Field(description="Optimizer: sgd (with Nesterov momentum), adam or adamw.")
    learning_rate: LearningRate = Field(description="Peak learning rate of the schedule.")
    schedule: Literal["constant", "cosine", "one_cycle"] = Field(description="Learning rate schedule.")
    momentum: Rate = Field(description="Momentum of sgd; the other optimizers ignore it.")
    weight_decay: NonNegativeFloat = Field(description="Decoupled weight decay; 0: none.")
    loss: Literal["cross_entropy", "squared_error"] = Field(description="Loss function.")
    average_weights: bool = Field(
        description="Validate and save a running average of the weights instead of the last ones."
    )
    first_layer: Literal["random", "whitening"] = Field(
        description="Initial filters of the first convolution: random or whitening (they decorrelate patches)."
    )
    label_smoothing: Rate = Field(description="Fraction of each training label that is spread evenly over all classes.")
    class_weight: Literal["none", "balanced"] = Field(
        description="Class weights in the loss: none or balanced (rare classes count more)."
    )
    patience: Epochs | None = Field(description="Stop after this many epochs without improvement; null: never.")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        description="Compute dtype: float32, bfloat16 or auto (bfloat16 where it is faster); weights are float32."
    )
    threads: Parallel = Field(description="CPU threads of one training run.")
    gpus: Parallel = Field(description="Number of GPUs that share each batch, except in trials, which use one.")
    augmentation: AugmentationParams = Field(description="Random transformations of the training images.")

    @model_validator(mode="after")
    def _gpus_divide_the_batch(self) -> Self:
        if self.batch_size % self.gpus:
            raise ValueError(
                f"gpus must divide batch_size, got gpus: {self.gpus}, batch_size: {self.batch_size}; change one of them"
            )
        return self
