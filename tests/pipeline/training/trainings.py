"""Small, fast training runs: a few images of X's and O's, small networks and settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.data.split import Split, make_split
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head, TrainingParams
from pipeline.params_file import validate
from pipeline.sections import XoParams
from pipeline.sections.load import load_params
from pipeline.sources.xo import draw_xo

ROOT = Path(__file__).resolve().parents[3]
CLASSES = ("cross", "circle")
NO_AUGMENTATION = {"strength": 1.0, "flip": "none", "shift": 0.0, "rotate": 0.0, "zoom": 0.0, "noise": 0.0}
EVERY_AUGMENTATION = {"strength": 1.0, "flip": "both", "shift": 0.1, "rotate": 10.0, "zoom": 0.1, "noise": 0.1}
SETTINGS = {
    "epochs": 3, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.01, "schedule": "constant",
    "momentum": 0.9, "weight_decay": 0.0, "loss": "cross_entropy",
    "average_weights": False, "first_layer": "random", "label_smoothing": 0.0,
    "class_weight": "none",
    "patience": None, "precision": "float32", "threads": 1, "gpus": 1, "augmentation": NO_AUGMENTATION,
}  # fmt: skip

# Without and with random layers.
PLAIN = Architecture(input_shape=(12, 12, 1), classes=2, blocks=(Block(filters=4),), head=Head())
RANDOM = Architecture(
    input_shape=(12, 12, 1),
    classes=2,
    blocks=(Block(filters=4, normalization="batch", dropout=0.2),),
    head=Head(dropout=0.3),
)


def training(**changes: Any) -> TrainingParams:
    """SETTINGS with changes; the remaining settings are those of the committed params.yaml."""
    committed = load_params(ROOT / "params.yaml").training.model_dump(mode="json")
    return validate(TrainingParams, committed | SETTINGS | changes, "params.yaml: training")


def figures(train: int = 72, val: int = 40, hard: bool = False) -> TrainingData:
    """Images of X's and O's with 12×12 pixels; if `hard`, the labels are shuffled."""
    declared = XoParams(images=train + val, size=12, shift=0.1, shrink=0.3, rotate=20.0, deform=0.06)
    images, labels = draw_xo(declared, seed=1)
    if hard:
        labels = np.random.default_rng(1).permutation(labels)
    return with_dataset(
        make_split("train", images[:train], labels[:train]), make_split("val", images[train:], labels[train:])
    )


def with_weights(data: TrainingData) -> TrainingData:
    """The same data with weights from 0.2 to 3."""
    train, weights = data.train, np.linspace(0.2, 3.0, len(data.train.labels), dtype=np.float32)
    return replace(data, train=make_split("train", train.images, train.labels, weights=weights))


def with_dataset(train: Split, val: Split, classes: tuple[str, ...] = CLASSES) -> TrainingData:
    """Two splits with the dataset metadata that `prepare` would write."""
    axes = tuple(range(train.images.ndim - 1))
    dataset = Dataset(
        name="xo",
        input_shape=train.images.shape[1:],
        dtype=str(train.images.dtype),
        classes=classes,
        counts={
            split.name: {name: int(np.sum(split.labels == number)) for number, name in enumerate(classes)}
            for split in (train, val)
        },
        mean=tuple(map(float, np.mean(train.images, axis=axes))),
        std=tuple(map(float, np.std(train.images, axis=axes))),
        digests={split.name: split.digest for split in (train, val)},
        duplicates={},
        skipped=(),
    )
    return TrainingData(dataset, train, val)
