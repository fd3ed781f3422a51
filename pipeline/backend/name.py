"""Name of the Keras backend of this process, detected without importing it."""

import os
import sys
from importlib.util import find_spec
from typing import Literal

from pipeline.errors import UserError

Backend = Literal["tensorflow", "jax", "torch"]

# The packages whose versions determine the results of a backend.
LIBRARIES: dict[Backend, tuple[str, ...]] = {
    "tensorflow": ("tensorflow",),
    "jax": ("jax", "jaxlib"),
    "torch": ("torch",),
}


def backend_name() -> Backend:
    """Name of the backend that Keras uses, or will use, in this process. Imports neither Keras nor the backend.

    Raises:
        UserError: KERAS_BACKEND names a backend that is not installed, or that does not support training.
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
        f"KERAS_BACKEND: must be one of {', '.join(LIBRARIES)}, got {asked!r}; unset it, and remove backend from "
        "~/.keras/keras.json"
    )
