"""Which packages outside the lock file are installed."""

from importlib.util import find_spec
from shutil import which

import pytest

HAS_TORCH = find_spec("torch") is not None
NEEDS_TORCH = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch, which is large, is not in the lock file")
NEEDS_ZARR = pytest.mark.skipif(find_spec("zarr") is None, reason="zarr is not installed")
NEEDS_SOUNDFILE = pytest.mark.skipif(
    find_spec("soundfile") is None, reason='soundfile is missing: make extras EXTRAS="audio"'
)
NEEDS_HEIF = pytest.mark.skipif(
    find_spec("pillow_heif") is None, reason='pillow-heif is missing: make extras EXTRAS="heif"'
)
NEEDS_NIBABEL = pytest.mark.skipif(find_spec("nibabel") is None, reason="nibabel is not installed")
NEEDS_ESPEAK = pytest.mark.skipif(which("espeak-ng") is None, reason="espeak-ng, a program, is not installed")
NEEDS_DATASETS = pytest.mark.skipif(find_spec("datasets") is None, reason="datasets is not installed")
