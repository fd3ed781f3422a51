"""Helpers of the benchmarks: description of the machine, medians, a fresh clone, and a check for packages."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from peer_data import ROOT

from pipeline.errors import UserError
from pipeline.machine.device import describe_device, gpu_handles
from pipeline.machine.instructions import onednn, processor_flags

FOVEA = str(Path(sys.executable).with_name("fovea"))
PACKAGES = ("tensorflow", "jax", "keras", "optuna", "ray", "mlflow", "dvc", "torch", "keras-tuner", "autokeras")


def machine() -> str:
    """Describe the processor, its instructions, the cores available to this process, GPUs, and installed packages."""
    model = platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    versions = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    instructions = onednn(processor_flags(), os.environ) or "unknown instructions"
    cores = len(os.sched_getaffinity(0))
    gpus = f", {describe_device()['device']}" if gpu_handles() else ""
    return f"{model}, {instructions}, {cores} cores{gpus}, Python {platform.python_version()}, {versions}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Format values as `median (minimum to maximum, n)`."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f}, n = {len(values)})"


def difference(values: Sequence[float]) -> str:
    """Format differences as `mean ± standard error`, without the error if there is only one."""
    error = f" ± {stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""
    return f"{mean(values):+.4f}{error}"


def run_script(script: str, *arguments: str, **variables: str) -> Any:
    """Run a benchmark in a process of its own, and return the JSON value in the last line that it prints.

    Args:
        script: Path of the script, its `__file__`.
        *arguments: Command line arguments.
        **variables: Environment variables, in addition to those of this process.
    """
    paths = [str(ROOT), *(path for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
    done = subprocess.run(
        [sys.executable, str(Path(script).resolve()), *arguments],
        env=os.environ | {"PYTHONPATH": ":".join(paths), "TF_CPP_MIN_LOG_LEVEL": "2"} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def fresh_clone(folder: Path) -> Path:
    """Clone the last commit of this repository into a subfolder, and return its path."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    return clone


def require_packages(script: str, *packages: str) -> None:
    """Check that the packages of a peer are installed.

    Args:
        script: Name of the script that needs them.
        *packages: Names of the packages on PyPI.

    Raises:
        UserError: A package is missing.
    """
    missing = sorted(name for name in packages if find_spec(name.replace("-", "_")) is None)
    if missing:
        raise UserError(f"benchmarks/{script}: required packages are missing; run `pip install {' '.join(missing)}`")
