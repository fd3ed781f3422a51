"""How a file with a volume becomes an input of a network."""

from typing import Literal

from pydantic import Field

from pipeline.params.base import Section
from pipeline.params.input_types import Color, VolumeFit, VoxelSide


class VolumeFormat(Section):
    """How a volume becomes an array (depth, height, width, channels) of float32 values."""

    kind: Literal["volume"] = Field(default="volume", description="Kind of input.")
    shape: tuple[VoxelSide, VoxelSide, VoxelSide] | None = Field(
        description="Depth, height and width of the result; null: those of the file."
    )
    resize: VolumeFit = Field(
        description="How a volume of another shape is fitted: stretch, pad (margins), crop (central part), or center "
        "(margins or central part, without scaling)."
    )
    fill: float = Field(description="Value of the margins of pad and center.")
    background: Color = Field(
        default=(0, 0, 0), description="Red, green and blue behind the transparent parts of slices."
    )
