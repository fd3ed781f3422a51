"""What the benchmark scripts share: the machine in a line, and medians with their spread."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from pipeline.tracking.instructions import onednn, processor_flags

PACKAGES = ("tensorflow", "keras", "optuna", "ray", "mlflow", "dvc", "keras-tuner")


def machine() -> str:
    """The processor, its instruction set, the cores that this process may use, and the versions that matter."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    instructions = onednn(processor_flags(), os.environ) or "unknown instructions"
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {instructions}, {cores} cores, Python {platform.python_version()}, {versions}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`median (least to greatest, n)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f}, n = {len(values)})"
