"""Export the network to other formats, and compare each export with Keras on the test images."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.sections.register import ExportFormat
from pipeline.terminal.console import buffered_stderr

_BATCH = 256
# A larger difference of a probability means that the conversion is wrong.
MAX_DIFFERENT = 1e-3


class Format(NamedTuple):
    """A format of exported networks.

    Attributes:
        suffix: File name suffix.
        write: Writes a network to a file. Returns a function that computes the probabilities of a batch with that file,
            in the format's own runtime.
    """

    suffix: str
    write: Callable[[Any, Path], Callable[[NDArray[np.float32]], NDArray[np.float32]]]


class Exported(NamedTuple):
    """An exported network. `largest_difference` is the maximum over the probabilities of all images and classes."""

    format: ExportFormat
    path: Path
    largest_difference: float


def export(
    model: Any, formats: tuple[ExportFormat, ...], folder: Path, images: NDArray[Any], probabilities: NDArray[Any]
) -> list[Exported]:
    """Write the network in each format, run it in the format's runtime, and compare the probabilities.

    Args:
        model: The Keras model, from raw values to probabilities.
        formats: Formats to export to.
        folder: Folder for `model.onnx` and `model.tflite`.
        images: (n, *grid, channels) raw values.
        probabilities: (n, classes) probabilities that Keras computes for the images.

    Raises:
        UserError: The backend is not TensorFlow, a format needs a package that is not installed, its converter or its
            runtime does not support the network, or its probabilities differ from those of Keras.
    """
    from pipeline.backend.name import backend_name

    if formats and backend_name() != "tensorflow":
        raise UserError(
            f"params.yaml: register.exports: {', '.join(formats)} must be exported with the TensorFlow backend, got "
            f"{backend_name()}; unset KERAS_BACKEND for register, or set exports: []"
        )
    found = []
    for name in formats:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model{FORMATS[name].suffix}"
        try:
            exported = _predictions(name, model, path, images)
        except UserError:
            raise
        except Exception as error:  # converters and runtimes raise exceptions of any type for unsupported networks
            reason = (str(error).split(". ")[0].strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"params.yaml: register.exports: {name} does not support this network: {reason}; remove {name}"
            ) from error
        difference = float(np.abs(exported - probabilities).max())
        if not difference <= MAX_DIFFERENT:
            raise UserError(
                f"params.yaml: register.exports: {name} must reproduce the probabilities of Keras to within "
                f"{MAX_DIFFERENT:g}, got a difference of {difference:.2g}; its converter or runtime does not "
                f"support this network correctly, so remove {name}"
            )
        found.append(Exported(name, path, difference))
    return found


def _predictions(name: ExportFormat, model: Any, path: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    """Write the network in a format, and compute the probabilities of the images with it."""
    from pipeline.backend.predictor import batch_that_fits

    with buffered_stderr(), warnings.catch_warnings():  # converters print their progress
        warnings.simplefilter("ignore")
        predict = FORMATS[name].write(model, path)
        size = batch_that_fits(model, _BATCH)
        batches = (images[start : start + size] for start in range(0, len(images), size))
        return np.concatenate([predict(np.asarray(batch, np.float32)) for batch in batches])


def _onnx(model: Any, path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Write an ONNX file, and return a function that runs it with ONNX Runtime."""
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"params.yaml: register.exports: onnx needs the Python package {error.name}, which is not installed; "
            "install it with `make extras EXTRAS=onnx`, or remove onnx"
        ) from None
    _for_onnx(model).export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: np.asarray(session.run(None, {name: batch})[0])


def _for_onnx(model: Any) -> Any:
    """Copy a network such that tf2onnx can convert it: it mistakes TensorFlow constants for inputs and lacks erfc."""
    import keras

    def copy(layer: Any) -> Any:
        made = type(layer).from_config(layer.get_config())
        if getattr(made, "activation", None) is keras.activations.gelu:
            made.activation = lambda x: 0.5 * x * (1.0 + keras.ops.erf(x / 2**0.5))
        return made

    copied = keras.models.clone_model(model, clone_function=copy)
    copied.set_weights(model.get_weights())
    for layer in copied.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    copied(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only models that were called
    return copied


def _litert(model: Any, path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Write a LiteRT file, and return a function that runs it with TensorFlow's interpreter."""
    import tensorflow as tf

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only models that were called
    model.export(path, format="litert", verbose=False)
    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    (given,) = runner.get_input_details()
    (result,) = runner.get_output_details()
    return lambda batch: np.asarray(runner(**{given: batch})[result])


# One entry for each name in ExportFormat in pipeline/sections/register.py.
FORMATS: dict[ExportFormat, Format] = {"onnx": Format(".onnx", _onnx), "litert": Format(".tflite", _litert)}
