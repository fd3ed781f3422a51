"""Images with known properties, and their measurements."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline.checks.collect import Collector
from pipeline.checks.files import FileSummary
from pipeline.checks.findings import Finding, findings
from pipeline.checks.measurements import DatasetFacts, Measurements, measure
from pipeline.data.split import SplitName

Parts = Mapping[SplitName, tuple[NDArray[np.generic], NDArray[np.int64]]]


def smooth_images(count: int, grid: tuple[int, ...] = (24, 24), channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    """Independent blurred noise, (count, *grid, channels), each with values from 0 to 255."""
    noise = np.random.default_rng(seed).normal(size=(count, *grid, channels))
    found = gaussian_filter(noise, (0, *(1.5,) * len(grid), 0))
    axes = tuple(range(1, found.ndim))
    low, high = found.min(axis=axes, keepdims=True), found.max(axis=axes, keepdims=True)
    return np.asarray(np.round((found - low) / (high - low) * 255), np.uint8)


def split_up(
    images: NDArray[np.generic], labels: Sequence[int] | None = None
) -> dict[SplitName, tuple[NDArray[np.generic], NDArray[np.int64]]]:
    """Half of the images as training split, and a quarter for each of val and test; classes alternate."""
    count = len(images)
    given = np.arange(count) % 2 if labels is None else np.array(labels)
    ends: dict[SplitName, slice] = {
        "train": slice(0, count // 2), "val": slice(count // 2, count * 3 // 4), "test": slice(count * 3 // 4, count)
    }  # fmt: skip
    return {split: (images[part], given[part].astype(np.int64)) for split, part in ends.items()}


def digests(images: NDArray[np.generic]) -> bytes:
    """A digest of each image."""
    return b"".join(hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)


def measured(
    parts: Parts,
    block: int = 1000,
    classes: tuple[str, ...] = ("cat", "dog"),
    groups: Mapping[SplitName, Sequence[str]] | None = None,
    files: FileSummary | None = None,
    weights: NDArray[np.float32] | None = None,
) -> Measurements:
    """Pass the splits by in blocks, and measure them."""
    collector = Collector(parts["train"][0].shape[1:])
    for split, (images, labels) in parts.items():
        for start in range(0, len(images), block):
            chosen = images[start : start + block]
            collector.add(split, chosen, labels[start : start + block], digests(chosen))
    facts = DatasetFacts(classes, {}, groups or {}, files, weights)
    return measure(collector.result(), facts, lambda split, chosen: parts[split][0][chosen], 7)


def found_ids(parts: Parts, **settings: object) -> dict[str, Finding]:
    """The findings by id."""
    return {finding.id: finding for finding in findings(measured(parts, **settings))}  # type: ignore[arg-type]
