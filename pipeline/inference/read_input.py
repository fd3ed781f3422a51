"""Read a file as an input of a network, exactly as the training files were read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from pipeline.arrays.sample_file import SUFFIXES as ARRAYS
from pipeline.arrays.sample_file import read_sample
from pipeline.data.audio_format import AudioFormat
from pipeline.data.input_format import ImageFormat, InputFormat, format_for
from pipeline.data.series_format import SeriesFormat
from pipeline.data.value_range import ValueRange
from pipeline.data.volume_format import VolumeFormat
from pipeline.errors import UnreadableError, UserError, plural
from pipeline.images.decode import DecodedImage, read_image
from pipeline.images.file_formats import SUFFIXES as IMAGES
from pipeline.signals.audio_input import read_audio_inputs
from pipeline.signals.recording import SUFFIXES as RECORDINGS
from pipeline.signals.series_input import read_series_inputs
from pipeline.volumes.read_volume import SUFFIXES as VOLUMES
from pipeline.volumes.read_volume import read_volume
from pipeline.volumes.slices import read_slices


class InputValues(NamedTuple):
    """A file in the form of the network's input.

    Attributes:
        values: (inputs, *grid, channels) raw values, uint8 or float32. A long series or recording has several inputs;
            the prediction for it is the mean of theirs.
        remarks: Sentences about the conversion of this file, without its name, each under its topic.
    """

    values: NDArray[Any]
    remarks: dict[str, str]


def why_no_files(
    declared: InputFormat | None, input_shape: tuple[int, ...], value_range: ValueRange | None
) -> str | None:
    """Why files cannot be inputs of a network; None if they can. A network for arrays takes .npy files.

    Args:
        declared: The format with which the network was trained; None: unknown.
        input_shape: Grid and channels of the network's input.
        value_range: Raw values of black and white; None: unknown.
    """
    accepted = format_for(declared, input_shape)
    if isinstance(accepted, ImageFormat) and value_range is None:
        return (
            "the raw values of black and white are unknown, so image files cannot be scaled to the training data; set "
            "data.value_range: [black, white] and retrain the network"
        )
    return None


def read_input(
    source: Path | bytes,
    name: str,
    declared: InputFormat | None,
    input_shape: tuple[int, ...],
    value_range: ValueRange | None,
) -> InputValues:
    """Read a file as an input of a network.

    Args:
        source: Path or content of the file.
        name: Name of the file in messages.
        declared: The format with which the network was trained; None: unknown.
        input_shape: Grid and channels of the network's input.
        value_range: Raw values of black and white; None: unknown.

    Raises:
        UserError: The file cannot be read, or files cannot be inputs of this network (`why_no_files`).
    """
    accepted = format_for(declared, input_shape)
    if (reason := why_no_files(declared, input_shape, value_range)) is not None:
        raise UserError(f"{name}: cannot be an input of this network: {reason}")
    if accepted is None:
        return InputValues(read_sample(source, name, input_shape)[None], {})
    return _READERS[accepted.kind](source, name, accepted, input_shape, value_range)


def _read_image(
    source: Path | bytes,
    name: str,
    image_format: ImageFormat,
    input_shape: tuple[int, ...],
    value_range: ValueRange,
) -> InputValues:
    size = (input_shape[0], input_shape[1])
    image = read_image(source, name, image_format.model_copy(update={"image_size": size}), value_range)
    return InputValues(image.values[None], _image_remarks(image, size, image_format, value_range))


def _image_remarks(
    image: DecodedImage, size: tuple[int, int], image_format: ImageFormat, value_range: ValueRange
) -> dict[str, str]:
    """Remarks about converted sizes or colours, and about 16-bit values that fit the range badly."""
    remarks = {}
    if (image.size, image.color_mode) != (size, image_format.color_mode):
        remarks["size"] = (
            f"is {_words(image.size, image.color_mode)}; such images are converted to "
            f"{_words(size, image_format.color_mode)}, as in training"
        )
    black, white = value_range.sixteen_bit
    if image.sixteen_bit is not None:
        least, greatest = image.sixteen_bit
        if least < black or greatest > white or greatest - least < (white - black) / 16:
            remarks["range"] = (
                f"has 16 bits per value and uses {least} to {greatest}; such images are scaled as in training, with "
                f"{black:g} as black and {white:g} as white (data.value_range)"
            )
    return remarks


def _words(size: tuple[int, ...], color_mode: str) -> str:
    return f"{size[0]}×{size[1]} {'grayscale' if color_mode == 'grayscale' else 'RGB'}"


def _read_series(source: Path | bytes, name: str, series_format: SeriesFormat, *_: Any) -> InputValues:
    return InputValues(*read_series_inputs(source, name, series_format))


def _read_audio(source: Path | bytes, name: str, audio_format: AudioFormat, *_: Any) -> InputValues:
    return InputValues(read_audio_inputs(source, name, audio_format), {})


def _read_volume(
    source: Path | bytes, name: str, form: VolumeFormat, input_shape: tuple[int, ...], _: Any
) -> InputValues:
    depth, height, width, channels = input_shape
    form = form.model_copy(update={"shape": (depth, height, width)})
    if isinstance(source, Path) and source.is_dir():
        volume = read_slices(source, name, form, channels)
    else:
        volume = read_volume(source, name, form)
    if volume.values.shape[-1] != channels:
        raise UnreadableError(
            f"{name}: must have {channels} {plural(channels, 'channel')}, like the training data, got "
            f"{volume.values.shape[-1]}"
        )
    if volume.shape == (depth, height, width):
        return InputValues(volume.values[None], {})
    found, wanted = ("×".join(map(str, shape)) for shape in (volume.shape, (depth, height, width)))
    remark = f"is {found}; such volumes are converted to {wanted} ({form.resize}), as in training"
    return InputValues(volume.values[None], {"size": remark})


# By kind of the format: (file, its name, format, input shape, value range) -> values.
_READERS: dict[str, Callable[[Path | bytes, str, Any, tuple[int, ...], Any], InputValues]] = {
    "image": _read_image,
    "series": _read_series,
    "audio": _read_audio,
    "volume": _read_volume,
}
# By kind of the format: endings of the files that are read from a folder.
_SUFFIXES = {
    "image": IMAGES,
    "series": (".csv", ".tsv", ".txt"),
    "audio": RECORDINGS,
    "volume": VOLUMES,
}


def slices_of(declared: InputFormat | None) -> tuple[str, ...]:
    """Endings of the files whose folder is one input of a network; empty if each input is a file."""
    return IMAGES if isinstance(declared, VolumeFormat) else ()


def suffixes_of(declared: InputFormat | None, input_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Endings of the files in a folder that are inputs of a network.

    Args:
        declared: The format with which the network was trained; None: unknown, so images, or arrays of another shape.
        input_shape: Grid and channels of the network's input.
    """
    accepted = format_for(declared, input_shape)
    return ARRAYS if accepted is None else _SUFFIXES[accepted.kind]
