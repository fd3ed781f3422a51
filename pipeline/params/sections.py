"""The sections of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.base import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Rate, Section
from pipeline.params.gate_rules import Corruption, PromoteIf, parse_rule
from pipeline.params.model import ModelParams
from pipeline.params.search import SearchParams
from pipeline.params.space import Optimizer

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
# The kinds of `data.source`, each with the form of the part after the colon. Their loaders are in
# pipeline/sources/loaders.py.
SOURCES: dict[str, str] = {
    "digits": "",
    "xo": "",
    "idx": "FOLDER",
    "images": "FOLDER",
    "npz": "FILE",
    "keras": "fashion_mnist|mnist|cifar10|cifar100",
}


class XoParams(Section):
    """Generated X's and O's, white on black, each distorted by random amounts up to these limits."""

    images: Annotated[int, Field(ge=20)] = Field(description="Number of images, half of them X's.")
    size: Annotated[int, Field(ge=8)] = Field(description="Height and width in pixels.")
    shift: Rate = Field(description="Maximum shift along each axis, as a fraction of the size.")
    shrink: Rate = Field(description="Maximum reduction of the extent; 0.4 draws figures at 60% to 100% of it.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        description="Maximum rotation in either direction, in degrees."
    )
    deform: Rate = Field(description="Maximum displacement of a figure's points, as a fraction of the size.")


class DataParams(Section):
    """Source of the images, and how they are checked, converted and split."""

    source: str = Field(
        description="Source of the images: digits | xo | idx:FOLDER | images:FOLDER | npz:FILE | keras:NAME."
    )
    color_mode: Literal["grayscale", "rgb"] = Field(description="Colour mode to which image files are converted.")
    image_size: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=2)] | None = Field(
        description="Height and width to which image files are resized; null: all must have the same size."
    )
    value_range: tuple[float, float] | None = Field(
        description="Values of black and white in 16-bit image files and in arrays; null: range of the type."
    )
    channels: Literal["auto", "first", "last"] = Field(
        description="Channel axis of arrays: last, first or auto (last, but rejects ambiguous shapes)."
    )
    val_fraction: Fraction = Field(
        description="Fraction of the training images held out for validation, if the source has no val split."
    )
    test_fraction: Fraction = Field(
        description="Fraction of all images held out for testing, if the source has no test split."
    )
    limit: PositiveInt | None = Field(description="Maximum number of images per split of the source; null: all.")
    on_unreadable: Literal["error", "skip"] = Field(description="Action on files that are not readable images.")
    xo: XoParams = Field(description="Generated X's and O's, for source: xo.")

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        kind, colon, place = source.partition(":")
        needs = SOURCES.get(kind)
        named = needs is not None and bool(place) == bool(colon) == bool(needs)
        if not named or ("|" in str(needs) and place not in str(needs).split("|")):
            *forms, last = (f"{name}:{what}" if what else name for name, what in SOURCES.items())
            raise ValueError(f"must be {', '.join(forms)} or {last}")
        return source

    @field_validator("value_range")
    @classmethod
    def _black_is_below_white(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and value_range[0] >= value_range[1]:
            raise ValueError(f"black must be below white, got {list(value_range)}")
        return value_range

    @model_validator(mode="after")
    def _fractions_leave_training_images(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"val_fraction + test_fraction must be below 1, got {self.val_fraction + self.test_fraction}"
            )
        return self


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

    epochs: PositiveInt = Field(description="Maximum number of passes over the training images.")
    batch_size: PositiveInt = Field(description="Images per optimizer step.")
    optimizer: Optimizer = Field(description="Optimizer: sgd (with Nesterov momentum), adam or adamw.")
    learning_rate: PositiveFloat = Field(description="Peak learning rate of the schedule.")
    schedule: Literal["constant", "cosine", "one_cycle"] = Field(description="Learning rate schedule.")
    momentum: Rate = Field(description="Momentum of sgd; the other optimizers ignore it.")
    weight_decay: NonNegativeFloat = Field(description="Decoupled weight decay; 0: none.")
    loss: Literal["cross_entropy", "squared_error"] = Field(description="Loss function.")
    label_smoothing: Rate = Field(description="Fraction of each training label that is spread evenly over all classes.")
    class_weight: Literal["none", "balanced"] = Field(
        description="Class weights in the loss: none or balanced (rare classes count more)."
    )
    patience: PositiveInt | None = Field(description="Stop after this many epochs without improvement; null: never.")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        description="Compute dtype: float32, bfloat16 or auto (bfloat16 if supported); weights are float32."
    )
    threads: PositiveInt = Field(description="CPU threads of one training.")
    augmentation: AugmentationParams = Field(description="Random transformations of the training images.")


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
    """Two short trainings that measure how much the arrangement of an image's pixels adds to the accuracy."""

    images: PositiveInt = Field(description="Maximum number of training images.")
    epochs: PositiveInt = Field(description="Epochs of each of the two trainings.")


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
    batch_size: PositiveInt = Field(description="Images per prediction batch.")
    corruptions: tuple[Corruption, ...] = Field(
        description="Corruptions of the test images, each in five severities; []: none."
    )
    out_of_distribution: OutOfDistributionParams = Field(description=OutOfDistributionParams.__doc__)
    pixel_permutation: PixelPermutationParams = Field(description=PixelPermutationParams.__doc__)
    interpretation: InterpretationParams = Field(description=InterpretationParams.__doc__)


ExportFormat = Literal["onnx", "litert"]


class RegisterParams(Section):
    """Name, gate rules and export formats of the registered model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$")] = Field(
        description="Name of the registered model."
    )
    gate: tuple[str, ...] = Field(
        description="Rules that a champion must satisfy, e.g. accuracy >= 0.9; []: accuracy above chance\n\n"
        "Unless a rule limits the accuracy, the lower bound of its interval must be above the share of the largest "
        "class."
    )
    promote_if: PromoteIf = Field(
        description="Condition to replace the champion: better (p < alpha, not worse) | not_worse | higher\n\n"
        "better: p < alpha and not worse; not_worse: at most worse by margin; higher: any higher accuracy."
    )
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        description="Significance level of better: McNemar's p-value must be below it."
    )
    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        description="Margin of not worse: the interval of the difference in accuracy must be above -margin."
    )
    exports: tuple[ExportFormat, ...] = Field(
        description="Additional export formats, compared with Keras on the test split: onnx, litert."
    )

    @field_validator("gate")
    @classmethod
    def _rules_parse(cls, gate: tuple[str, ...]) -> tuple[str, ...]:
        for rule in gate:
            parse_rule(rule)
        return gate


class Params(Section):
    """The complete content of params.yaml."""

    seed: NonNegativeInt = Field(description="Seed of all random choices.")
    data: DataParams = Field(description=DataParams.__doc__)
    model: ModelParams = Field(description=ModelParams.__doc__)
    training: TrainingParams = Field(description=TrainingParams.__doc__)
    search: SearchParams = Field(description=SearchParams.__doc__)
    evaluate: EvaluateParams = Field(description=EvaluateParams.__doc__)
    register_: RegisterParams = Field(alias="register", description=RegisterParams.__doc__)
