"""Loaders of images, one for each kind of `data.source`."""

from collections.abc import Callable
from pathlib import Path

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import range_of_files
from pipeline.data.volume_format import VolumeFormat
from pipeline.images.file_formats import SUFFIXES as IMAGE_SUFFIXES
from pipeline.images.file_names import existing
from pipeline.listing.entry import Listing
from pipeline.listing.links import require_no_links_out
from pipeline.listing.list_files import list_files
from pipeline.loaders.huggingface import read_huggingface
from pipeline.loaders.volume_files import read_volume_files
from pipeline.sections import DataParams
from pipeline.signals.recording import SUFFIXES as AUDIO_SUFFIXES
from pipeline.sources.array_files import read_hdf5, read_npy_folder, read_npz, read_zarr
from pipeline.sources.digits import load_digits
from pipeline.sources.idx import read_idx_folder
from pipeline.sources.image_files import read_images
from pipeline.sources.keras_datasets import load_keras_dataset
from pipeline.sources.signal_files import read_audio_files, read_series_files
from pipeline.sources.source import Source
from pipeline.sources.ts import read_ts_source
from pipeline.sources.xo import draw_xo
from pipeline.volumes.read_volume import SUFFIXES as VOLUME_SUFFIXES


def _xo(params: DataParams, _: str, seed: int, __: Path) -> Source:
    return Source("xo", ("x", "o"), {"train": draw_xo(params.xo, seed)})


# Endings of the files of each kind, which must not lie next to the folders of classes.
_ENDINGS = {
    "images": IMAGE_SUFFIXES,
    "series": (".csv", ".tsv", ".txt"),
    "audio": AUDIO_SUFFIXES,
    "volumes": (*VOLUME_SUFFIXES, ".gz", *IMAGE_SUFFIXES),
}


# Kinds of folders that are not listed by `listing_of`.
_FOLDERS = ("idx", "npy", "zarr", "ts")


def listing_of(kind: str, params: DataParams, place: str) -> Listing:
    """List the files of a source of images, series, recordings or volumes.

    Raises:
        UserError: The folder or the manifest is missing, or violates a rule.
    """
    return list_files(kind, place, params.file_pattern, _ENDINGS[kind], params.follow_links)


def _images(params: DataParams, place: str, _: int, decoded: Path) -> Source:
    return read_images(
        listing_of("images", params, place),
        image_format(params),
        params.on_unreadable,
        range_of_files(params.value_range),
        decoded,
    )


def _volumes(params: DataParams, place: str, _: int, decoded: Path) -> Source:
    volume = params.volume
    return read_volume_files(
        listing_of("volumes", params, place),
        VolumeFormat(shape=volume.shape, resize=volume.resize, fill=volume.fill, background=params.background),
        ImageFormat(color_mode=params.color_mode, image_size=None, background=params.background),
        params.on_unreadable,
        decoded,
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
    "huggingface": lambda params, place, seed, decoded: read_huggingface(
        place, image_format(params), params.on_unreadable, range_of_files(params.value_range), decoded
    ),
    "keras": lambda params, place, seed, decoded: load_keras_dataset(place),
    "ts": lambda params, place, seed, decoded: read_ts_source(existing(Path(place)), params),
    "series": lambda params, place, seed, decoded: read_series_files(
        listing_of("series", params, place), params, decoded
    ),
    "audio": lambda params, place, seed, decoded: read_audio_files(listing_of("audio", params, place), params, decoded),
    "volumes": _volumes,
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
    if kind in _FOLDERS and not params.follow_links:
        require_no_links_out(f"data.source: {params.source}", existing(Path(place)))
    return LOADERS[kind](params, place, seed, decoded)
