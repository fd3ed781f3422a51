"""Names of the settings that params.yaml, dataset.json and the network's file share."""

from typing import Annotated, Literal

from pydantic import Field

ColorMode = Literal["grayscale", "rgb"]
Resize = Literal["stretch", "pad", "crop"]
VolumeFit = Literal["stretch", "pad", "crop", "center"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Byte = Annotated[int, Field(ge=0, le=255)]
PixelSide = Annotated[int, Field(ge=1, le=8192)]
VoxelSide = Annotated[int, Field(ge=1, le=1024)]
Color = tuple[Byte, Byte, Byte]
