"""Datasets for benchmarks of studies: subsets of the Fashion-MNIST training files, and the digits.

The test files of Fashion-MNIST are never read.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.arrays.idx import open_idx
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.rows import Part
from pipeline.data.split import Split, make_split, write_split
from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.loaders.table import load
from pipeline.sections.load import load_params
from pipeline.sources.source import numbered
from pipeline.sources.stratified_split import split_source

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("/usr/share/datasets/fashion-mnist")  # path of the Debian package dataset-fashion-mnist
_ORDER_SEED = 0


def fashion(folder: Path, train: int, val: int) -> TrainingData:
    """Draw training and validation images from the Fashion-MNIST training files, the same ones at each call.

    Args:
        folder: Folder of the IDX files.
        train: Number of training images.
        val: Number of validation images. They do not overlap with the training images.

    Raises:
        UserError: The files are missing or damaged, or contain too few images.
    """
    images = open_idx(_file(folder, "train-images-idx3-ubyte"), dimensions=3)[:]
    labels = open_idx(_file(folder, "train-labels-idx1-ubyte"), dimensions=1)[:].astype(np.int64)
    if train + val > len(labels):
        raise UserError(f"{folder}: must have {train + val} training images, got {len(labels)}; request fewer images")
    order = np.random.default_rng(_ORDER_SEED).permutation(len(labels))
    taken = {"train": np.sort(order[:train]), "val": np.sort(order[train : train + val])}
    source = numbered("fashion-mnist", {name: (images[places], labels[places]) for name, places in taken.items()})
    return _data(source.name, source.classes, source.parts)


def digits() -> TrainingData:
    """Return the training and validation split of the handwritten digits, as params.yaml splits them."""
    params = load_params(ROOT / "params.yaml")
    source = load(params.data.model_copy(update={"source": "digits"}), params.seed, ROOT / "data/decoded")
    shares = split_source(source, params.data, params.seed)
    return _data(source.name, source.classes, {name: shares[name].part for name in ("train", "val")})


def write_prepared(data: TrainingData, folder: Path) -> None:
    """Write the input files of the stage search."""
    for split in (data.train, data.val):
        write_split(split, folder / split.name)
    write_dataset(data.dataset, folder / "dataset.json")


def _data(name: str, classes: tuple[str, ...], parts: Mapping[str, Part]) -> TrainingData:
    train, val = make_split("train", *parts["train"]), make_split("val", *parts["val"])
    return TrainingData(dataset_of(name, train, val, classes), train, val)


def dataset_of(name: str, train: Split, val: Split, classes: tuple[str, ...] = tuple("0123456789")) -> Dataset:
    """Return the metadata of two splits."""
    pixels = train.images
    axes = tuple(range(pixels.ndim - 1))
    return Dataset(
        name=name,
        input_shape=tuple(pixels.shape[1:]),
        dtype=str(pixels.dtype),
        classes=classes,
        counts={
            split.name: {called: int((split.labels == label).sum()) for label, called in enumerate(classes)}
            for split in (train, val)
        },
        mean=tuple(float(value) for value in pixels.mean(axis=axes, dtype=np.float64)),
        std=tuple(float(value) for value in pixels.std(axis=axes, dtype=np.float64)),
        digests={split.name: split.digest for split in (train, val)},
        duplicates={},
        skipped=(),
    )


def _file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder}: must contain {name} or {name}.gz; install dataset-fashion-mnist, or set --folder")
