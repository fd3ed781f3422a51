"""The section `data` of params.yaml."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.params.base import PositiveInt, Rate, SampleValue, Section
from pipeline.params.file_pattern import check_pattern
from pipeline.params.input_types import Color, ColorMode, Interpolation, PixelSide, Resize
from pipeline.sections.signals import AudioParams, SeriesParams
from pipeline.sections.volumes import VolumeParams

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
# The kinds of `data.source`, each with the form of the part after the colon. Their loaders are in
# pipeline/loaders/table.py.
SOURCES: dict[str, str] = {
    "digits": "",
    "xo": "",
    "idx": "FOLDER",
    "images": "FOLDER",
    "npz": "FILE",
    "npy": "FOLDER",
    "hdf5": "FILE",
    "zarr": "FOLDER",
    "huggingface": "NAME",
    "keras": "fashion_mnist|mnist|cifar10|cifar100",
    "ts": "PATH",
    "series": "FOLDER",
    "audio": "FOLDER",
    "volumes": "FOLDER",
}
_MAX_BYTES = 4 * 2**30  # of generated images, which are in memory
_ARRAY_SOURCES = ("npz", "npy", "hdf5", "zarr")  # the kinds of source whose samples can be declared by `data.kind`
# Settings of files, each with the kinds of source that use it, and the value that it must have for others.
_FILE_SETTINGS: dict[str, tuple[tuple[str, ...], Any]] = {
    "file_pattern": (("images", "series", "audio", "volumes"), None),
    "image_size": (("images", "huggingface"), None),
    "resize": (("images", "huggingface"), "stretch"),
    "interpolation": (("images", "huggingface"), "bilinear"),
    "background": (("images", "huggingface", "volumes"), [0, 0, 0]),
}

FindingId = Literal[
    "unreadable", "mixed_modes", "resized", "constant_samples", "exact_duplicates", "near_duplicates",
    "label_conflicts", "group_leakage", "class_imbalance", "outliers", "drift", "not_a_grid",
]  # fmt: skip


def ignored_settings(source: str) -> dict[str, Any]:
    """Return the settings that a source would ignore, each with the only value that it may have."""
    kind = source.partition(":")[0]
    return {name: value for name, (kinds, value) in _FILE_SETTINGS.items() if kind not in kinds}


class XoParams(Section):
    """Generated X's and O's, white on black, each distorted by random amounts up to these limits."""

    images: Annotated[int, Field(ge=20, le=1_000_000)] = Field(description="Number of images, half of them X's.")
    size: Annotated[int, Field(ge=8, le=1024)] = Field(description="Height and width in pixels.")
    shift: Rate = Field(description="Maximum shift along each axis, as a fraction of the size.")
    shrink: Rate = Field(description="Maximum reduction of the extent; 0.4 draws figures at 60% to 100% of it.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = Field(
        description="Maximum rotation in either direction, in degrees."
    )
    deform: Rate = Field(description="Maximum displacement of a figure's points, as a fraction of the size.")

    @model_validator(mode="after")
    def _images_fit_into_memory(self) -> Self:
        size = self.images * self.size**2
        if size > _MAX_BYTES:
            raise ValueError(
                f"images and size must lead to at most {_MAX_BYTES / 2**30:g} GiB of pixels, got {size / 2**30:.3g} "
                "GiB; lower one of them"
            )
        return self


class DataParams(Section):
    """Source of the images, and how they are checked, converted and split."""

    source: str = Field(
        description="Source of the samples: digits, xo, or a kind and a place, such as images:FOLDER or npz:FILE."
    )
    file_pattern: str | None = Field(
        description="Regular expression for label, group and split in file names; null: subfolders are classes."
    )
    color_mode: ColorMode = Field(description="Colour mode to which image files are converted.")
    image_size: tuple[PixelSide, PixelSide] | None = Field(
        description="Height and width to which image files are resized; null: all must have the same size."
    )
    resize: Resize = Field(
        description="How images of another aspect ratio are fitted: stretch, pad (margins) or crop (central part)."
    )
    interpolation: Interpolation = Field(
        description="Interpolation of resized images: nearest | bilinear | bicubic | lanczos."
    )
    background: Color = Field(
        description="Red, green and blue, 0 to 255, behind transparent parts and in the margins of resize: pad."
    )
    value_range: tuple[SampleValue, SampleValue] | None = Field(
        description="Values of black and white in 16-bit files and in arrays; null: by bit depth, or detected."
    )
    kind: Literal["auto", "image", "series", "volume"] = Field(
        description="What the samples of arrays are; auto: images, or volumes if there are five axes."
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
    strict: tuple[FindingId, ...] = Field(
        max_length=100, description="Findings of the checks that stop the stage; [] reports all of them and goes on."
    )
    follow_links: bool = Field(description="Whether symbolic links may lead out of the folder of the source.")
    xo: XoParams = Field(description="Generated X's and O's, for source: xo.")
    series: SeriesParams = Field(description="Time series, for source: ts:PATH and series:FOLDER.")
    audio: AudioParams = Field(description="Recordings, for source: audio:FOLDER.")
    volume: VolumeParams = Field(description="Volumes, for source: volumes:FOLDER.")

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

    @field_validator("file_pattern")
    @classmethod
    def _has_a_label(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_pattern(pattern)

    @field_validator("value_range")
    @classmethod
    def _black_is_below_white(cls, value_range: tuple[float, float] | None) -> tuple[float, float] | None:
        if value_range is not None and value_range[0] >= value_range[1]:
            raise ValueError(f"black must be below white, got {list(value_range)}; swap them")
        return value_range

    @model_validator(mode="after")
    def _only_arrays_have_a_declared_kind(self) -> Self:
        if self.kind != "auto" and self.source.partition(":")[0] not in _ARRAY_SOURCES:
            raise ValueError(
                f"kind declares what arrays contain ({', '.join(_ARRAY_SOURCES)}), got kind: {self.kind} with source: "
                f"{self.source}, which determines the kind; set kind: auto"
            )
        return self

    @model_validator(mode="after")
    def _no_setting_is_ignored(self) -> Self:
        given = self.model_dump(mode="json", include=set(_FILE_SETTINGS))
        for name, value in ignored_settings(self.source).items():
            if given[name] != value:
                *others, last = _FILE_SETTINGS[name][0]
                raise ValueError(
                    f"{name} is for files of {', '.join(others)} and {last}, got {name}: {given[name]} with source: "
                    f"{self.source}, which would ignore it; set {name}: {'null' if value is None else value}"
                )
        return self

    @model_validator(mode="after")
    def _fractions_leave_training_images(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1.0:
            raise ValueError(
                f"val_fraction + test_fraction must be below 1, got {self.val_fraction + self.test_fraction}; "
                "lower one of them"
            )
        return self
