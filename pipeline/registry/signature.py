"""The signature of a registered network: what it takes and gives, by name and type, for MLflow and its UI."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def make_signature() -> "ModelSignature":
    """One input, `image`, and an answer of four fields.

    An image is an array of raw values, or the base64 text of an image file. MLflow has no type for the one or the
    other, so the input's is `object`: `serving.py` checks what it holds, and refuses with a reason.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Map

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(object), (-1,), "image")]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "label"),
                ColSpec(DataType.double, "probability"),
                ColSpec(Map(DataType.double), "probabilities"),
                ColSpec(DataType.boolean, "unfamiliar", required=False),
            ]
        ),
    )
