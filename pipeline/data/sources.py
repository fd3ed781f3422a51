"""Where images come from: one function for each kind of `data.source`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.params.sections import DataParams
from pipeline.terminal import UserError, held_back_stderr

Part = tuple[NDArray[Any], NDArray[np.int64]]


@dataclass(frozen=True)
class Source:
    """Images as a source has them, before checks and splits.

    Attributes:
        name: of the source, without its path.
        classes: names; a label is a place in it.
        parts: images (n, height, width, channels) with labels (n,), by split; without a test, all in `train`.
        skipped: files that were left out, relative to the source.
    """

    name: str
    classes: tuple[str, ...]
    parts: dict[str, Part]
    skipped: tuple[str, ...] = field(default=())


def load(params: DataParams, seed: int) -> Source:
    """The images of `data.source`.

    Raises:
        UserError: the source is missing, or not what its kind demands.
    """
    kind, _, place = params.source.partition(":")
    match kind:
        case "digits":
            return _digits()
        case "xo":
            from pipeline.data.xo import draw_xo

            return Source("xo", ("x", "o"), {"train": draw_xo(params.xo, seed)})
        case "idx":
            from pipeline.data.idx import read_idx_folder

            return read_idx_folder(Path(place))
        case "images":
            from pipeline.data.image_folder import read_image_folder

            return read_image_folder(Path(place), params.color_mode, params.image_size, params.on_unreadable)
        case "npz":
            return _npz(Path(place))
        case _:
            return _keras(place)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    scaled = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)  # 17 grey levels, as pixels
    return Source("digits", tuple("0123456789"), {"train": (scaled, labels.astype(np.int64))})


def _npz(path: Path) -> Source:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"data.source: npz:{path}: no such file; give the path of an .npz file") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"data.source: npz:{path}: must be an .npz file without pickled objects: {error}") from None
    names = tuple(str(name) for name in arrays.pop("classes", ()))
    parts = {}
    for split in ("train", "val", "test"):
        if (f"x_{split}" in arrays) != (f"y_{split}" in arrays):
            raise UserError(f"data.source: npz:{path}: needs both x_{split} and y_{split}, got one of them")
        if f"x_{split}" in arrays:
            parts[split] = (arrays[f"x_{split}"], arrays[f"y_{split}"])
    if "train" not in parts:
        raise UserError(f"data.source: npz:{path}: needs x_train and y_train, got {', '.join(arrays) or 'nothing'}")
    return numbered(path.stem, parts, names)


def _keras(name: str) -> Source:
    with held_back_stderr():
        import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception when it cannot fetch a file
        if type(error) is not Exception and not isinstance(error, OSError):
            raise
        raise UserError(
            f"data.source: keras:{name}: could not be fetched: {error}; needs the internet at first use, "
            "or use idx:, npz: or images: with files of your own"
        ) from None
    return numbered(name, {"train": train, "test": test})


_CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "fashion_mnist": (
        "t-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def numbered(name: str, parts: dict[str, Part], classes: tuple[str, ...] = ()) -> Source:
    """A source whose labels are numbers; images without channels get one, labels of shape (n, 1) become (n,).

    Without names, those that are known for a source of this name are taken, or else the numbers.

    Raises:
        UserError: images or labels are no numbers.
    """
    classes = classes or _CLASSES.get(name.replace("-", "_"), ())
    shaped = {}
    for split, (images, labels) in parts.items():
        images, labels = np.asarray(images), np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"data.source: {name}: labels of {split} must be whole numbers, got {labels.dtype}")
        if images.dtype != np.uint8:
            if not (np.issubdtype(images.dtype, np.integer) or np.issubdtype(images.dtype, np.floating)):
                raise UserError(f"data.source: {name}: images of {split} must be numbers, got {images.dtype}")
            images = images.astype(np.float32)
        with_channels = images[..., np.newaxis] if images.ndim == 3 else images
        shaped[split] = (with_channels, labels.reshape(-1).astype(np.int64))
    most = max((int(labels.max()) for _, labels in shaped.values() if labels.size), default=0)
    return Source(name, classes or tuple(str(number) for number in range(most + 1)), shaped)
