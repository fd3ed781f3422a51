"""The sections of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.base import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Rate, Section
from pipeline.params.gate import Corruption, PromoteIf, parse_rule
from pipeline.params.model import ModelParams
from pipeline.params.search import SearchParams
from pipeline.params.space import Optimizer

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
# The kinds of `data.source`, each with the form of the part after the colon. Their loaders are in
# pipeline/sources/registry.py.
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

    images: Annotated[int, Field(ge=20)] = Field(description="Images in all, half of them X's.")
    size: Annotated[int, Field(ge=8)] = Field(description="Height and width in pixels.")
    shift: Rate = Field(description="Largest shift along each axis, as a share of the size.")
    shrink: Rate = Field(description="Largest loss of extent; 0.4 draws figures at 60 to 100 % of full extent.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(description="Largest rotation either way, in degrees.")
    deform: Rate = Field(description="Largest displacement of a figure's points, as a share of the size.")


class DataParams(Section):
    """Source of the images, and how they are checked, converted and split."""

    source: str = Field(description="digits, xo, idx:FOLDER, images:FOLDER, npz:FILE or keras:NAME.")
    color_mode: Literal["grayscale", "rgb"] = Field(description="What image files are converted to.")
    image_size: Annotated[tuple[PositiveInt, ...], Field(min_length=2, max_length=2)] | None = Field(
        description="Height and width that image files are resized to; null: all must agree already."
    )
    value_range: tuple[float, float] | None = Field(
        description="Values of black and white in 16-bit image files and in arrays; null: the whole range of the type."
    )
    channels: Literal["auto", "first", "last"] = Field(description="Which axis of an image array has the channels.")
    val_fraction: Fraction = Field(description="Share of the training images set aside for validation.")
    test_fraction: Fraction = Field(description="Share of all images set aside for the test, where there is no test.")
    limit: PositiveInt | None = Field(description="Use at most so many images per split of the source; null: all.")
    on_unreadable: Literal["error", "skip"] = Field(description="What to do about files that are no readable image.")
    xo: XoParams = Field(description="The generated set, for source: xo.")

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
    def _something_is_left_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"val_fraction + test_fraction must be below 1, got {self.val_fraction + self.test_fraction}"
            )
        return self


class AugmentationParams(Section):
    """Random transformations of the training images, drawn for each image in each epoch."""

    strength: NonNegativeFloat = Field(description="Factor on shift, rotate, zoom and noise; 1.0: as written.")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(description="Mirror images at random.")
    shift: Rate = Field(description="Largest shift along each axis, as a share of the extent.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(description="Largest rotation either way, in degrees.")
    zoom: Rate = Field(description="Largest change of scale; 0.1 draws scales from 0.9 to 1.1.")
    noise: NonNegativeFloat = Field(description="Standard deviation of added Gaussian noise, in standardised units.")

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

    epochs: PositiveInt = Field(description="Passes over the training images, at most.")
    batch_size: PositiveInt = Field(description="Images per step.")
    optimizer: Optimizer = Field(description="sgd (with momentum), adam or adamw.")
    learning_rate: PositiveFloat = Field(description="Peak of the schedule.")
    schedule: Literal["constant", "cosine", "one_cycle"] = Field(description="Course of the learning rate.")
    momentum: Rate = Field(description="Nesterov momentum of sgd; the others ignore it.")
    weight_decay: NonNegativeFloat = Field(description="Decoupled weight decay; 0: none.")
    loss: Literal["cross_entropy", "squared_error"] = Field(description="What is minimised.")
    label_smoothing: Rate = Field(description="Share of each training label spread evenly over all classes.")
    class_weight: Literal["none", "balanced"] = Field(description="balanced: rare classes count more in the loss.")
    patience: PositiveInt | None = Field(description="Stop after so many epochs without progress; null: never.")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        description="Arithmetic of the training; auto: what the device is good at. Weights are float32."
    )
    threads: PositiveInt = Field(description="Processor threads of one training.")
    augmentation: AugmentationParams = Field(description="Random changes of the training images.")


class OutOfDistributionParams(Section):
    """Detection of inputs that are unlike the training data."""

    score: Literal["features", "energy", "softmax"] = Field(
        description="features: distance in the last layer's features; energy and softmax: of its scores."
    )
    false_positive_rate: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        description="Share of familiar inputs that may be called unfamiliar; the threshold follows from it."
    )
    outliers: str | None = Field(
        description="Unfamiliar images to test with: a folder of files, or an .npy file; null: made-up ones."
    )


class PixelPermutationParams(Section):
    """Two short trainings that measure how much the arrangement of an image's pixels adds to the accuracy."""

    images: PositiveInt = Field(description="Training images used at most.")
    epochs: PositiveInt = Field(description="Of each of the two trainings.")


class InterpretationParams(Section):
    """Number of images, channels and patches in the visualizations of the network."""

    images: Annotated[int, Field(ge=1, le=20)] = Field(description="Images with feature maps and saliency maps.")
    channels: Annotated[int, Field(ge=1, le=32)] = Field(description="Channels of a layer with projections.")
    patches: Annotated[int, Field(ge=1, le=9)] = Field(description="Strongest activations of a channel.")


class EvaluateParams(Section):
    """Settings of the evaluation on the test split."""

    confidence_level: Annotated[float, Field(ge=0.5, lt=1.0)] = Field(description="Level of all intervals.")
    resamples: Annotated[int, Field(ge=100, le=100_000)] = Field(description="Bootstrap samples behind an interval.")
    top_k: PositiveInt = Field(description="An answer counts for top_k_accuracy if so many likeliest hold the class.")
    calibration_bins: Annotated[int, Field(ge=1, le=100)] = Field(description="Bins of the calibration error.")
    mistakes: Annotated[int, Field(ge=0, le=100)] = Field(description="Worst mistakes, and least sure hits, shown.")
    batch_size: PositiveInt = Field(description="Images per prediction step.")
    corruptions: tuple[Corruption, ...] = Field(description="Corruptions that the test images suffer.")
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
        description="Rules of your own that a champion must obey. Without one on its accuracy, the lower end of that "
        "figure's interval must be above chance, the share of the largest class."
    )
    promote_if: PromoteIf = Field(
        description="When a network takes the champion's place: it is better (p < alpha) and not worse (by margin); "
        "not_worse alone; or its accuracy is higher, by whatever."
    )
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(description="A p-value below it shows a better network.")
    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        description="Not worse: the interval of the difference in accuracy from the champion is above minus this."
    )
    exports: tuple[ExportFormat, ...] = Field(
        description="Formats besides Keras's, each compared with Keras on the test split: onnx, litert."
    )

    @field_validator("gate")
    @classmethod
    def _rules_parse(cls, gate: tuple[str, ...]) -> tuple[str, ...]:
        for rule in gate:
            parse_rule(rule)
        return gate


class Params(Section):
    """All of params.yaml."""

    seed: NonNegativeInt = Field(description="Every random choice follows from it.")
    data: DataParams = Field(description=DataParams.__doc__)
    model: ModelParams = Field(description=ModelParams.__doc__)
    training: TrainingParams = Field(description=TrainingParams.__doc__)
    search: SearchParams = Field(description=SearchParams.__doc__)
    evaluate: EvaluateParams = Field(description=EvaluateParams.__doc__)
    register_: RegisterParams = Field(alias="register", description=RegisterParams.__doc__)
