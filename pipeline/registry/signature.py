"""MLflow signature of a registered network: names and types of its inputs and outputs."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def make_signature() -> "ModelSignature":
    """Return the signature: one input, `image`, and four output columns.

    An image, or a sample of another kind, is nested lists of raw values, or a file in base64. MLflow has no type for
    such a union, so the type of the input is `object`, and `pyfunc_model.py` validates its content.
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
