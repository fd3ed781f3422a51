"""The network in other formats, each compared with Keras on the test images."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.console import held_back_stderr
from pipeline.errors import UserError
from pipeline.params.sections import ExportFormat

_BATCH = 256
# A probability that differs by more is not the same network in other words.
MOST_DIFFERENT = 1e-3


class Format(NamedTuple):
    """A format of exported networks.

    Attributes:
        suffix: of its files.
        write: writes a network to a file; gives what answers a batch by that file, in the format's own runtime.
    """

    suffix: str
    write: Callable[[Any, Path], Callable[[NDArray[np.float32]], NDArray[np.float32]]]


class Exported(NamedTuple):
    """A network in another format; the difference is the largest one of a probability, over all images and classes."""

    format: ExportFormat
    path: Path
    largest_difference: float


def export(
    model: Any, formats: tuple[ExportFormat, ...], folder: Path, images: NDArray[Any], probabilities: NDArray[Any]
) -> list[Exported]:
    """Write the network in each format, run it there, and compare.

    Args:
        model: raw values in, probabilities out.
        formats: which ones.
        folder: gets `model.onnx` and `model.tflite`.
        images: (n, *grid, channels), raw values.
        probabilities: (n, classes), Keras's own answers to them.

    Raises:
        UserError: a format needs a package that is not installed, its converter or its runtime cannot take the
            network, or its answers are not Keras's.
    """
    found = []
    for name in formats:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model{FORMATS[name].suffix}"
        try:
            answers = _answers(name, model, path, images)
        except UserError:
            raise
        except Exception as error:  # whatever a converter or a runtime raises, it is the network that it cannot take
            reason = (str(error).split(". ")[0].strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"params.yaml: register.exports: {name} cannot take this network: {reason}; leave it out"
            ) from error
        difference = float(np.abs(answers - probabilities).max())
        if not difference <= MOST_DIFFERENT:
            raise UserError(
                f"params.yaml: register.exports: {name} must answer as Keras does, but a probability differs by "
                f"{difference:.2g}, so its converter or its runtime is wrong about this network; leave it out"
            )
        found.append(Exported(name, path, difference))
    return found


def _answers(name: ExportFormat, model: Any, path: Path, images: NDArray[Any]) -> NDArray[np.float32]:
    """Write the network in a format, and answer by it."""
    with held_back_stderr(), warnings.catch_warnings():  # the converters tell how they get on
        warnings.simplefilter("ignore")
        answer = FORMATS[name].write(model, path)
        batches = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        return np.concatenate([answer(np.asarray(batch, np.float32)) for batch in batches])


def _onnx(model: Any, path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Write an ONNX file; gives what answers by it, with ONNX Runtime."""
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"params.yaml: register.exports: onnx needs the Python package {error.name}, which is not installed; "
            "install it with `make extras EXTRAS=onnx`, or leave onnx out"
        ) from None
    _for_onnx(model).export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: np.asarray(session.run(None, {name: batch})[0])


def _for_onnx(model: Any) -> Any:
    """A copy of a network that tf2onnx can convert: it takes TensorFlow's constants for inputs, and knows no erfc."""
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
    copied(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what was called once
    return copied


def _litert(model: Any, path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Write a LiteRT file; gives what answers by it, with TensorFlow's own interpreter."""
    from pipeline.backend.name import backend_name

    if backend_name() != "tensorflow":
        raise UserError("params.yaml: register.exports: litert needs TensorFlow; unset KERAS_BACKEND, or leave it out")
    import tensorflow as tf

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports what was called once
    model.export(path, format="litert", verbose=False)
    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    (given,) = runner.get_input_details()
    (result,) = runner.get_output_details()
    return lambda batch: np.asarray(runner(**{given: batch})[result])


# Of the names in ExportFormat in pipeline/params/sections.py.
FORMATS: dict[ExportFormat, Format] = {"onnx": Format(".onnx", _onnx), "litert": Format(".tflite", _litert)}
