"""Where images come from: a loader for each kind of `data.source`."""

from collections.abc import Callable
from pathlib import Path

from pipeline.data.value_range import range_of_files
from pipeline.images.file_names import existing
from pipeline.params.sections import DataParams
from pipeline.sources.digits import load_digits
from pipeline.sources.idx import read_idx_folder
from pipeline.sources.image_folder import read_image_folder
from pipeline.sources.keras_datasets import load_keras_dataset
from pipeline.sources.npz import read_npz
from pipeline.sources.source import Source
from pipeline.sources.xo import draw_xo


def _xo(params: DataParams, _: str, seed: int) -> Source:
    return Source("xo", ("x", "o"), {"train": draw_xo(params.xo, seed)})


def _images(params: DataParams, place: str, _: int) -> Source:
    return read_image_folder(
        existing(Path(place)),
        params.color_mode,
        params.image_size,
        params.on_unreadable,
        range_of_files(params.value_range),
    )


# From the section `data`, what stands after the colon, and the seed, to the images. The kinds are also in SOURCES in
# pipeline/params/sections.py, which says what stands after the colon.
LOADERS: dict[str, Callable[[DataParams, str, int], Source]] = {
    "digits": lambda params, place, seed: load_digits(),
    "xo": _xo,
    "idx": lambda params, place, seed: read_idx_folder(existing(Path(place))),
    "images": _images,
    "npz": lambda params, place, seed: read_npz(existing(Path(place)), params.channels),
    "keras": lambda params, place, seed: load_keras_dataset(place),
}


def load(params: DataParams, seed: int) -> Source:
    """The images of `data.source`.

    Args:
        params: the section `data`.
        seed: of images that are generated.

    Raises:
        UserError: the source is missing, or not what its kind demands.
    """
    kind, _, place = params.source.partition(":")
    return LOADERS[kind](params, place, seed)
