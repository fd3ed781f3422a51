"""Loaders of images, one for each kind of `data.source`."""

from collections.abc import Callable
from pathlib import Path

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import range_of_files
from pipeline.images.file_names import existing
from pipeline.sections import DataParams
from pipeline.sources.array_files import read_hdf5, read_npy_folder, read_npz, read_zarr
from pipeline.sources.digits import load_digits
from pipeline.sources.idx import read_idx_folder
from pipeline.sources.image_folder import read_image_folder
from pipeline.sources.keras_datasets import load_keras_dataset
from pipeline.sources.signal_folder import read_audio_folder, read_series_folder
from pipeline.sources.source import Source
from pipeline.sources.ts import read_ts_source
from pipeline.sources.xo import draw_xo


def _xo(params: DataParams, _: str, seed: int, __: Path) -> Source:
    return Source("xo", ("x", "o"), {"train": draw_xo(params.xo, seed)})


def _images(params: DataParams, place: str, _: int, decoded: Path) -> Source:
    return read_image_folder(
        existing(Path(place)),
        image_format(params),
        params.on_unreadable,
        range_of_files(params.value_range),
        decoded,
        params.follow_links,
    )


def image_format(params: DataParams) -> ImageFormat:
    """The format of image files that the section `data` declares."""
    return ImageFormat(
        color_mode=params.color_mode,
        image_size=params.image_size,
        resize=params.resize,
        interpolation=params.interpolation,
        background=params.background,
    )


# (section `data`, part of `data.source` after the colon, seed, folder of decoded files) -> images. SOURCES in
# pipeline/sections/data.py contains the same kinds, with the form of the part after the colon.
LOADERS: dict[str, Callable[[DataParams, str, int, Path], Source]] = {
    "digits": lambda params, place, seed, decoded: load_digits(),
    "xo": _xo,
    "idx": lambda params, place, seed, decoded: read_idx_folder(existing(Path(place))),
    "images": _images,
    "npz": lambda params, place, seed, decoded: read_npz(existing(Path(place)), params.channels, params.kind),
    "npy": lambda params, place, seed, decoded: read_npy_folder(existing(Path(place)), params.channels, params.kind),
    "hdf5": lambda params, place, seed, decoded: read_hdf5(existing(Path(place)), params.channels, params.kind),
    "zarr": lambda params, place, seed, decoded: read_zarr(existing(Path(place)), params.channels, params.kind),
    "keras": lambda params, place, seed, decoded: load_keras_dataset(place),
    "ts": lambda params, place, seed, decoded: read_ts_source(existing(Path(place)), params),
    "series": lambda params, place, seed, decoded: read_series_folder(existing(Path(place)), params, decoded),
    "audio": lambda params, place, seed, decoded: read_audio_folder(existing(Path(place)), params, decoded),
}


def load(params: DataParams, seed: int, decoded: Path) -> Source:
    """Load the images of `data.source`.

    Args:
        params: The section `data` of params.yaml.
        seed: Seed of generated images.
        decoded: Folder of decoded files.

    Raises:
        UserError: The source is missing, or not valid for its kind.
    """
    kind, _, place = params.source.partition(":")
    return LOADERS[kind](params, place, seed, decoded)
