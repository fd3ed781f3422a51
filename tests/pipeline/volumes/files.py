"""Files with small volumes."""

from pathlib import Path
from typing import Any

import numpy as np


def nifti(values: np.ndarray, affine: np.ndarray | None = None, version: int = 1) -> Any:
    """A NIfTI image whose array has the axes (x, y, z)."""
    import nibabel as nib

    made = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    return made(values, np.eye(4) if affine is None else affine)


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nifti(values, affine).to_filename(path)
    return path


def ramp(*shape: int) -> np.ndarray:
    """A volume whose values are all different."""
    return np.arange(int(np.prod(shape)), dtype=np.int16).reshape(shape)
