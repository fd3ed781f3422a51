"""What the rules of `init` do differently for each kind of samples."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.data.dataset import Kind

MIRROR_ADVICE = "set horizontal if mirror images of your data keep their class, which often helps."


@dataclass(frozen=True)
class KindRules:
    """Rules for a kind of samples.

    Attributes:
        kernel_size: Kernel size of the baseline's convolutions.
        kernel_sizes: Those that the study tries, if the grid is neither tiny nor large.
        first_layer: `training.first_layer`, and the reason.
        flip: Reason for no flips, unless they were measured.
        rotate: `training.augmentation.rotate`.
        noise: `training.augmentation.noise`.
        objects: What is to be recognized, and in what, for the reason of the head.
    """

    kernel_size: int
    kernel_sizes: tuple[int, ...]
    first_layer: tuple[str, str]
    flip: str
    rotate: float
    noise: float
    objects: str


# Series: mean test accuracy of the baseline with kernels of 7 and of 3, three training runs each: GunPoint 0.984 and
# 0.980, BasicMotions 1.000 and 0.992, ArrowHead 0.739 and 0.691, ItalyPowerDemand 0.961 and 0.969.
KIND_RULES: Mapping[Kind, KindRules] = {
    "image": KindRules(
        3, (3, 5), ("whitening", ""),
        f"Too few images to measure whether mirror images keep their class; {MIRROR_ADVICE}",
        10.0, 0.0, "Objects in images",
    ),
    "series": KindRules(
        7, (3, 7, 11), ("whitening", ""),
        "Not measured for series; set horizontal if series keep their class when time runs backwards.",
        0.0, 0.1, "Events in series",
    ),
    "audio": KindRules(
        3, (3, 5), ("whitening", ""), "Sound that runs backwards has another meaning.",
        0.0, 0.1, "Sounds in spectrograms",
    ),
    "volume": KindRules(
        3, (3, 5), ("random", "Whitening was not measured on volumes."),
        "Not measured for volumes; set horizontal if mirrored volumes keep their class.",
        10.0, 0.0, "Objects in volumes",
    ),
}  # fmt: skip
