"""Which library Keras computes with in this process; told without importing any."""

import os
import sys
from importlib.util import find_spec
from typing import Literal

from pipeline.errors import UserError

Backend = Literal["tensorflow", "jax", "torch"]

# The packages whose versions decide what a backend computes.
LIBRARIES: dict[Backend, tuple[str, ...]] = {
    "tensorflow": ("tensorflow",),
    "jax": ("jax", "jaxlib"),
    "torch": ("torch",),
}


def backend_name() -> Backend:
    """What Keras runs on, or will run on, in this process; imports neither.

    Raises:
        UserError: KERAS_BACKEND names a backend that is not installed, or that networks cannot be trained on.
    """
    keras = sys.modules.get("keras")
    asked = keras.backend.backend() if keras else os.environ.get("KERAS_BACKEND") or "tensorflow"
    for name in LIBRARIES:
        if name == asked:
            if find_spec(name) is None:
                remedy = "make setup" if name == "tensorflow" else f"make extras EXTRAS={name}"
                raise UserError(
                    f"KERAS_BACKEND: {name} is not installed; install it with `{remedy}`, or unset KERAS_BACKEND"
                )
            return name
    raise UserError(
        f"KERAS_BACKEND: training needs {', '.join(LIBRARIES)}, got {asked!r}; unset it, and remove backend from "
        "~/.keras/keras.json"
    )
