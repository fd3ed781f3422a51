"""How a file with a recording becomes inputs of a network."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import PositiveInt, Section

PositiveFloat = Annotated[float, Field(gt=0.0)]


class AudioFormat(Section):
    """How a recording becomes inputs: log-mel spectrograms of pieces of equal length."""

    kind: Literal["audio"] = Field(default="audio", description="Kind of input.")
    rate: PositiveInt = Field(description="Sampling rate in Hz to which recordings are resampled.")
    piece: PositiveInt = Field(description="Samples of a piece; a shorter recording is continued with silence.")
    piece_hop: PositiveInt = Field(description="Samples from the start of a piece to that of the next one.")
    window: PositiveInt = Field(description="Samples of a window of the spectrogram.")
    hop: PositiveInt = Field(description="Samples from the start of a window to that of the next one.")
    bands: PositiveInt = Field(description="Number of frequency bands, equally wide on the mel scale.")
    low: Annotated[float, Field(ge=0.0)] = Field(description="Lower edge of the lowest band in Hz.")
    high: PositiveFloat = Field(description="Upper edge of the highest band in Hz.")
    floor_db: Annotated[float, Field(lt=0.0)] = Field(
        description="Power of silence in decibels, relative to a sine of full amplitude; lower powers are clipped."
    )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Time columns, frequency bands from low to high, and one channel."""
        return 1 + (self.piece - self.window) // self.hop, self.bands, 1
