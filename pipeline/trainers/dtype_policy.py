"""The compute dtype of new Keras layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from pipeline.backend.precision import ComputeDtype


@contextmanager
def dtype_policy(compute_dtype: ComputeDtype) -> Iterator[None]:
    """Give the layers that are created within the block this compute dtype, and float32 weights."""
    policy: Any = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if compute_dtype == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
