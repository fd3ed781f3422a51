"""How a raw file becomes an input of the network.

prepare writes the format to dataset.json, and train writes it to the network's file. predict and the server read it
there, so that new files are converted exactly as the training files were.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from pipeline.data.audio_format import AudioFormat
from pipeline.data.series_format import SeriesFormat
from pipeline.data.volume_format import VolumeFormat
from pipeline.params.base import Section
from pipeline.params.input_types import Color, ColorMode, Interpolation, PixelSide, Resize

COLOR_MODES: dict[int, ColorMode] = {1: "grayscale", 3: "rgb"}  # by number of channels


class ImageFormat(Section):
    """How an image file becomes an array (height, width, channels). The defaults are those of older versions."""

    kind: Literal["image"] = Field(default="image", description="Kind of the input.")
    color_mode: ColorMode = Field(description="Colour mode of the result.")
    image_size: tuple[PixelSide, PixelSide] | None = Field(
        default=None, description="Height and width of the result; null: those of the file."
    )
    resize: Resize = Field(default="stretch", description="How an image of another aspect ratio is fitted.")
    interpolation: Interpolation = Field(default="bilinear", description="Interpolation between pixels.")
    background: Color = Field(
        default=(0, 0, 0), description="Red, green and blue behind transparent parts and in the margins of `pad`."
    )

    @property
    def channels(self) -> int:
        """Number of channels of the result."""
        return 1 if self.color_mode == "grayscale" else 3

    @property
    def is_former(self) -> bool:
        """Whether files are converted as older versions did, which saved no format with a network."""
        return self == ImageFormat(color_mode=self.color_mode, image_size=self.image_size)


InputFormat: TypeAlias = Annotated[ImageFormat | SeriesFormat | AudioFormat | VolumeFormat, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[InputFormat] = TypeAdapter(InputFormat)


def parse_format(content: str) -> InputFormat:
    """Parse the JSON of a format.

    Raises:
        ValidationError: The content is not a format, or one of a later version.
    """
    return _ADAPTER.validate_json(content)


def format_for(declared: InputFormat | None, input_shape: tuple[int, ...]) -> InputFormat | None:
    """The format of the files that a network accepts; None if its inputs cannot be read from files.

    Args:
        declared: The format with which the network was trained; None: it was trained on arrays, or by an older version.
        input_shape: Grid and channels of the network's input.
    """
    if declared is not None:
        return declared
    if len(input_shape) == 3 and input_shape[-1] in COLOR_MODES:
        return ImageFormat(color_mode=COLOR_MODES[input_shape[-1]])
    return None
