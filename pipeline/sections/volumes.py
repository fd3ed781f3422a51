"""The section `data.volume` of params.yaml."""

from pydantic import Field

from pipeline.params.base import SampleValue, Section
from pipeline.params.input_types import VolumeFit, VoxelSide


class VolumeParams(Section):
    """How volumes of different shapes are fitted to one shape."""

    shape: tuple[VoxelSide, VoxelSide, VoxelSide] | None = Field(
        description="Depth, height and width to which volumes are fitted; null: all must have the same shape."
    )
    resize: VolumeFit = Field(
        description="How they are fitted: stretch, pad (margins), crop (central part) or center (without scaling)."
    )
    fill: SampleValue = Field(description="Value of the margins of pad and center.")
