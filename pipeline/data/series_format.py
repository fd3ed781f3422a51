"""How a file with a time series becomes inputs of a network."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import PositiveInt, Section

Lengths = Literal["error", "pad", "crop", "stretch"]
Missing = Literal["error", "interpolate"]


class SeriesFormat(Section):
    """How a series becomes inputs: the settings of `data.series`, with the lengths that prepare found."""

    kind: Literal["series"] = Field(default="series", description="Kind of input.")
    window: PositiveInt = Field(description="Time steps of an input.")
    channels: PositiveInt = Field(description="Number of channels.")
    hop: PositiveInt | None = Field(
        description="Time steps from the start of an input to that of the next one; null: a series is one input."
    )
    rate: Annotated[float, Field(gt=0.0)] | None = Field(
        description="Sampling rate in Hz to which series are resampled; null: they are not."
    )
    time_column: str | None = Field(description="Name of the column of time stamps; null: time or timestamp.")
    lengths: Lengths = Field(description="Action on series of other lengths.")
    missing: Missing = Field(description="Action on missing values and time steps.")
    names: tuple[str, ...] = Field(default=(), description="Names of the channels, in order; empty: unknown.")
    step: Annotated[float, Field(gt=0.0)] | None = Field(
        default=None,
        description="Median time step in seconds of series that are not resampled; null: unknown, or resampled.",
    )
