"""The model that MLflow serves. It accepts nested lists or base64-encoded image files, and returns predictions."""

import base64
import binascii
import time
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from pipeline.data.audio_format import AudioFormat
from pipeline.data.series_format import SeriesFormat
from pipeline.errors import UserError
from pipeline.inference.classifier import read_classifier
from pipeline.signals.series_input import inputs_of_lists

_MAX_SECONDS = 30.0  # of decoding; MLflow gives up a request after 60 s, but not its work


class ServedNetwork(PythonModel):
    """A registered network as an MLflow pyfunc model."""

    def load_context(self, context: Any) -> None:
        """Load the network."""
        self._network = read_classifier(
            Path(context.artifacts["model"]), Path(context.artifacts["ood_detector"]), whole_keras=True
        )

    # Without a type hint of the input MLflow prints a warning, and with most others it validates the input itself.
    def predict(self, context, model_input: np.ndarray, params=None):  # type: ignore[no-untyped-def]
        """Predict the class of each input.

        Args:
            context: Context from MLflow; not used.
            model_input: Inputs, each as nested lists of raw values or as an image file in base64.
            params: Parameters from MLflow; not used.

        Returns:
            For each input, its label, the probability of the label, the probabilities of all classes, and, if the
            network has an out-of-distribution detector, whether the input is unfamiliar.

        Raises:
            MlflowException: An input is invalid; the server responds with status 400 and the reason.
        """
        given = _items(model_input)
        if not given:
            raise _refusal("inputs must contain at least one sample, got none")
        samples, began = [], time.monotonic()
        for number, each in enumerate(given):
            if time.monotonic() - began > _MAX_SECONDS:
                raise _refusal(
                    f"the inputs of a request must be decoded within {_MAX_SECONDS:g} s, got {number} of {len(given)} "
                    "done by then; send fewer at a time"
                )
            samples.append(self._values(number, each))
        predictions: list[dict[str, Any]] = []
        probabilities, unfamiliar = self._network.classify_samples(samples)
        for number, row in enumerate(probabilities):
            predicted = int(row.argmax())
            prediction: dict[str, Any] = {
                "label": self._network.classes[predicted],
                "probability": float(row[predicted]),
                "probabilities": dict(zip(self._network.classes, map(float, row), strict=True)),
            }
            if unfamiliar is not None:
                prediction["unfamiliar"] = bool(unfamiliar[number])
            predictions.append(prediction)
        return predictions

    def _values(self, number: int, given: Any) -> NDArray[np.float32]:
        """Convert one sample to (inputs, *grid, channels) values; only series and recordings can have several."""
        shape, declared = self._network.input_shape, self._network.input_format
        if isinstance(given, dict) and list(given) == ["b64"]:
            given = given["b64"]
        if isinstance(given, str):
            return np.asarray(self._decode(number, given), np.float32)
        if isinstance(declared, SeriesFormat):
            try:
                return inputs_of_lists(given, f"input {number}", declared)
            except UserError as error:
                raise _refusal(str(error)) from None
        try:
            value = np.asarray(given, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise _refusal(f"input {number} must be nested lists of numbers, or a file in base64") from None
        if value.shape == shape[:-1] and shape[-1] == 1:
            value = value[..., None]
        if value.shape != shape:
            hint = "; send a recording as a file in base64" if isinstance(declared, AudioFormat) else ""
            raise _refusal(f"input {number} must have shape {list(shape)}, got {list(value.shape)}{hint}")
        if not np.isfinite(value).all():
            raise _refusal(f"input {number} must contain only finite numbers, got NaN or infinity")
        self._require_range(number, value)
        return value[np.newaxis]

    def _require_range(self, number: int, value: NDArray[np.float32]) -> None:
        """Reject values outside the range of the training data, for which predictions would be wrong."""
        known = self._network.value_range
        if known is None:
            return
        rule = f"input {number} must have raw values from {known.black:g} to {known.white:g}, like the training data"
        least, greatest = float(value.min()), float(value.max())
        if least < known.black or greatest > known.white:
            raise _refusal(f"{rule}, got values from {least:g} to {greatest:g}")
        if known.is_bytes and greatest <= 1 and (value != np.rint(value)).any():
            raise _refusal(f"{rule}, got fractions from {least:g} to {greatest:g}; multiply them by {known.white:g}")

    def _decode(self, number: int, text: str) -> NDArray[Any]:
        if (reason := self._network.why_no_files) is not None:
            raise _refusal(f"input {number} must be nested lists: {reason}")
        try:
            content = base64.b64decode("".join((text.partition("base64,")[2] or text).split()), validate=True)
        except (binascii.Error, ValueError):
            raise _refusal(f"input {number} must be a file in base64, got invalid base64") from None
        try:
            return self._network.read(content, f"input {number}").values
        except UserError as error:
            raise _refusal(str(error)) from None


def _items(given: Any) -> list[Any]:
    """Return the inputs as a list, from any of the forms into which MLflow parses a request."""
    if hasattr(given, "columns"):  # a DataFrame
        if len(given.columns) != 1:
            raise _refusal(f"a table must have exactly one column, the inputs, got {len(given.columns)}")
        return list(given.iloc[:, 0])
    if isinstance(given, dict):
        if len(given) != 1:
            raise _refusal(
                f"inputs must be a list, or an object with one key whose value is a list, "
                f"got the keys {', '.join(map(str, given))}"
            )
        (given,) = given.values()
    given = _unwrap(given)
    if isinstance(given, str | bytes):
        return [given if isinstance(given, str) else given.decode(errors="replace")]
    return [_unwrap(each) for each in given] if isinstance(given, list | tuple | np.ndarray) else []


def _unwrap(given: Any) -> Any:
    """Return the element of a 0-dimensional array: MLflow converts each text in a named list to one."""
    return given.item() if isinstance(given, np.ndarray) and given.ndim == 0 else given


def _refusal(reason: str) -> MlflowException:
    return MlflowException(reason, error_code=BAD_REQUEST)


set_model(ServedNetwork())
