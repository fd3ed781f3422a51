"""The sections `data.series` and `data.audio` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.params.base import PositiveFloat, PositiveInt, Section

_MAX_VALUES = 2**26  # of a spectrogram
_Seconds = Annotated[float, Field(gt=0.0, le=3600.0)]
_Milliseconds = Annotated[float, Field(gt=0.0, le=3_600_000.0)]


class SeriesParams(Section):
    """How time series are read, cut into windows and split."""

    window: PositiveInt | None = Field(description="Time steps of a window; null: a series is one input.")
    hop: PositiveInt | None = Field(
        description="Time steps from the start of a window to that of the next one; null: a window."
    )
    rate: PositiveFloat | None = Field(
        description="Sampling rate in Hz to which series with time stamps are resampled; null: keep theirs."
    )
    time_column: str | None = Field(
        description="Name of the column of time stamps in CSV files; null: time or timestamp, if there is one."
    )
    lengths: Literal["error", "pad", "crop", "stretch"] = Field(
        description="Action on series of unequal lengths, or shorter than a window."
    )
    missing: Literal["error", "interpolate"] = Field(description="Action on missing values and time steps.")
    split_by: Literal["random", "time", "group"] = Field(
        description="What splits share no: series (random), parts of a series in time (time), or groups (group)."
    )

    @model_validator(mode="after")
    def _hop_has_a_window(self) -> Self:
        if self.window is None and self.hop is not None:
            raise ValueError("hop must be null if window is null; set window, or remove hop")
        if self.window is None and self.split_by == "time":
            raise ValueError("split_by: time needs windows, which are cut from each part of a series; set window")
        return self


class AudioParams(Section):
    """How recordings are cut into pieces and converted to log-mel spectrograms."""

    rate: Annotated[int, Field(ge=1000, le=192_000)] = Field(
        description="Sampling rate in Hz to which recordings are resampled."
    )
    seconds: _Seconds = Field(description="Length of a piece; shorter recordings are continued with silence.")
    hop_seconds: _Seconds | None = Field(
        description="Time from the start of a piece to that of the next one; null: a piece."
    )
    window_ms: _Milliseconds = Field(description="Length of a window of the spectrogram, in milliseconds.")
    hop_ms: _Milliseconds = Field(description="Time from one window to the next, in milliseconds.")
    bands: Annotated[int, Field(ge=4, le=512)] = Field(description="Number of frequency bands on the mel scale.")
    low: Annotated[float, Field(ge=0.0, le=96_000.0)] = Field(description="Lower edge of the lowest band in Hz.")
    high: Annotated[float, Field(gt=0.0, le=96_000.0)] | None = Field(
        description="Upper edge of the highest band in Hz; null: half of the rate."
    )
    floor_db: Annotated[float, Field(ge=-1000.0, lt=0.0)] = Field(
        description="Power in decibels below which the spectrogram is clipped; 0 is a sine of full amplitude."
    )

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        high = self.rate / 2 if self.high is None else self.high
        if not self.low < high <= self.rate / 2:
            raise ValueError(
                f"low must be below high, and high at most half of the rate, got {self.low:g} and {high:g} at "
                f"{self.rate} Hz; lower them, or increase rate"
            )
        if self.window_ms > self.seconds * 1000:
            raise ValueError(
                f"window_ms must be at most as long as a piece, got {self.window_ms:g} ms for {self.seconds:g} s; "
                "lower it, or increase seconds"
            )
        if self.rate * min(self.window_ms, self.hop_ms) < 1000:
            raise ValueError(
                f"window_ms and hop_ms must contain at least one sample, got {self.window_ms:g} and {self.hop_ms:g} at "
                f"{self.rate} Hz; increase them"
            )
        values = self.bands * self.seconds * 1000 / self.hop_ms
        if values > _MAX_VALUES:
            raise ValueError(
                f"seconds, hop_ms and bands must lead to at most {_MAX_VALUES:,} values per piece, got {values:.3g}; "
                "lower seconds or bands, or increase hop_ms"
            )
        return self
