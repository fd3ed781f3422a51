"""Metadata of the prepared dataset: data/prepared/dataset.json."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from pipeline.data.input_format import InputFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.errors import UserError, message_of
from pipeline.file_content import MAX_JSON_BYTES, content_of
from pipeline.params.base import NonNegativeInt, PositiveInt, Section

# What a sample is. An audio sample is a spectrogram, (time, bands, 1).
Kind = Literal["image", "series", "audio", "volume"]


class Dataset(Section):
    """Input shape, classes and statistics of the prepared dataset."""

    name: str = Field(description="Name of the source, without its path.")
    kind: Kind = Field(default="image", description="What a sample is: image, series, audio or volume.")
    input_shape: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = Field(
        description="Extent of each spatial axis, then channels."
    )
    dtype: str = Field(description="NumPy dtype of the raw values.")
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = Field(
        description="Names of the classes; a label is an index of this list."
    )
    counts: dict[str, dict[str, NonNegativeInt]] = Field(description="Number of images by split and class.")
    mean: tuple[float, ...] = Field(description="Mean of the training images' raw values, per channel.")
    std: tuple[float, ...] = Field(description="Standard deviation of the training images' raw values, per channel.")
    digests: dict[str, str] = Field(description="SHA-256 of each split's images and labels.")
    duplicates: dict[str, NonNegativeInt] = Field(
        description="For each pair of splits, number of images of the second split that are also in the first one."
    )
    own_val: bool = Field(default=False, description="Whether the source has a validation split of its own.")
    skipped: tuple[str, ...] = Field(description="Paths of unreadable files, relative to the source.")
    value_range: ValueRange | None = Field(
        default=BYTES, description="Raw values of black and white; null: unknown, so image files cannot be scaled."
    )
    input_format: InputFormat | None = Field(
        default=None, description="How a file becomes an input; null: the source consists of arrays."
    )


def read_dataset(path: Path) -> Dataset:
    """Read the metadata of a dataset.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        return Dataset.model_validate_json(
            content_of(path, str(path), "the description of a dataset", MAX_JSON_BYTES, "run `dvc repro prepare`")
        )
    except ValidationError as error:
        reason = message_of(error)
        raise UserError(
            f"{path}: must be a file written by the stage prepare: {reason}; run `dvc repro --force prepare`"
        ) from None


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Write the metadata of a dataset. Equal datasets produce identical bytes."""
    path.write_text(json.dumps(dataset.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
