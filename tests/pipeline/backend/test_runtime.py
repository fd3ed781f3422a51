"""The backend: its selection, imports and precision, and out-of-memory errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.backend import name as backend
from pipeline.backend.name import backend_name
from pipeline.backend.precision import has_bfloat16
from pipeline.errors import UserError
from pipeline.terminal.causes import is_out_of_memory
from tests.pipeline.training.trainings import ROOT


class OutOfMemoryError(RuntimeError):
    """Named like PyTorch's."""


class JaxRuntimeError(RuntimeError):
    """Named like JAX's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        OutOfMemoryError("CUDA out of memory"),
        JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_out_of_memory_errors_are_recognized(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("RESOURCE_EXHAUSTED"),
        RuntimeError("RESOURCE_EXHAUSTED"),
        JaxRuntimeError("INTERNAL: an error"),
        tf.errors.InvalidArgumentError(None, None, "ResourceExhaustedError"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not_out_of_memory_errors(error: BaseException) -> None:
    assert not is_out_of_memory(error)


@pytest.fixture
def without_keras(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delitem(sys.modules, "keras")
    return monkeypatch


def test_tensorflow_is_the_default_backend(without_keras: pytest.MonkeyPatch) -> None:
    for value in (None, "", "tensorflow"):
        without_keras.delenv("KERAS_BACKEND", raising=False)
        if value is not None:
            without_keras.setenv("KERAS_BACKEND", value)
        assert backend_name() == "tensorflow"
    without_keras.setenv("KERAS_BACKEND", "jax")
    assert backend_name() == "jax"


def test_a_backend_that_cannot_train_is_refused(without_keras: pytest.MonkeyPatch) -> None:
    without_keras.setenv("KERAS_BACKEND", "openvino")
    with pytest.raises(UserError, match="KERAS_BACKEND: must be one of tensorflow, jax, torch, got 'openvino'; unset"):
        backend_name()


def test_a_backend_that_is_not_installed_is_reported(without_keras: pytest.MonkeyPatch) -> None:
    without_keras.setenv("KERAS_BACKEND", "torch")
    without_keras.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match="KERAS_BACKEND: torch is not installed; install it with `make extras EXTRAS=torch`, or unset"
    ):
        backend_name()


JAX = """
import gc
import sys
from pathlib import Path
from pipeline.backend.runtime import start_backend
from pipeline.terminal.causes import is_out_of_memory
start_backend()
import jax
import keras
import numpy as np
from pipeline.training.fit import fit
from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.keras_file import load_model, save_model
from tests.pipeline.training.trainings import CLASSES, EVERY_AUGMENTATION, RANDOM, figures, training

assert keras.backend.backend() == "jax"
data = figures(train=200)
settings = training(epochs=2, precision=sys.argv[2], augmentation=EVERY_AUGMENTATION)

def rung(until, state=None):
    return fit(RANDOM, settings, data, seed=1, shares=(0.7, 1.0), until=until, state=state)

whole = rung(int(sys.argv[3]))
assert whole.history[-1].loss <= whole.history[0].loss, whole.history
if len(whole.history) > 1:
    Path(sys.argv[1], "first").write_bytes(rung(1).state)
Path(sys.argv[1], "whole").write_bytes(whole.state)

assert "tensorflow" not in sys.modules  # not needed for training; Keras imports it for saving if installed
path = Path(sys.argv[1], "model.keras")
save_model(whole.model(), path, CLASSES)
images, labels = data.val.images, data.val.labels
predictions = predict_probabilities(load_model(path), images, 16)
np.save(Path(sys.argv[1], "predictions.npy"), predictions)
assert np.mean(predictions.argmax(axis=1) == labels) == whole.history[whole.best_epoch - 1].val_accuracy
try:
    jax.numpy.zeros(1 << 46).block_until_ready()
except Exception as error:
    assert is_out_of_memory(error), repr(error)
else:
    raise AssertionError("the allocation must fail")
"""


RESUME = """
import sys
from pathlib import Path
from pipeline.backend.runtime import start_backend
start_backend()
from pipeline.training.fit import fit
from tests.pipeline.training.trainings import EVERY_AUGMENTATION, RANDOM, figures, training

settings = training(epochs=2, precision=sys.argv[2], augmentation=EVERY_AUGMENTATION)
first = Path(sys.argv[1], "first").read_bytes()
fitted = fit(RANDOM, settings, figures(train=200), seed=1, shares=(0.7, 1.0), until=2, state=first)
assert fitted.state == Path(sys.argv[1], "whole").read_bytes()
"""


@pytest.mark.parametrize(
    ("precision", "epochs"),
    [
        pytest.param("float32", 1, marks=pytest.mark.slow),
        pytest.param("float32", 2, marks=pytest.mark.long),
        pytest.param(
            "bfloat16", 2, marks=[pytest.mark.long, pytest.mark.skipif(not has_bfloat16(), reason="no instructions")]
        ),
    ],
)
def test_jax_training_resumes_exactly_and_its_network_predicts_the_same_on_tensorflow(
    tmp_path: Path, precision: str, epochs: int
) -> None:
    import numpy as np

    from pipeline.backend.predictor import predict_probabilities
    from pipeline.cnn.keras_file import load_model
    from tests.pipeline.training.trainings import figures

    environment = os.environ | {"KERAS_BACKEND": "jax"}
    for script in (JAX, RESUME)[:epochs]:
        command = [sys.executable, "-c", script, str(tmp_path), precision, str(epochs)]
        done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    predictions = np.load(tmp_path / "predictions.npy")
    np.testing.assert_allclose(predictions.sum(axis=1), 1.0)
    on_tensorflow = predict_probabilities(load_model(tmp_path / "model.keras"), figures(train=200).val.images, 16)
    np.testing.assert_allclose(on_tensorflow, predictions, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "whole", [pytest.param(False, marks=pytest.mark.slow), pytest.param(True, marks=pytest.mark.long)]
)
def test_optional_dependencies_of_keras_are_imported_only_if_requested(whole: bool) -> None:
    code = (
        "import sys\n"
        "from pipeline.backend.runtime import start_backend\n"
        f"start_backend(whole_keras={whole})\n"
        f"assert ('sklearn' in sys.modules) is ('matplotlib' in sys.modules) is {whole}\n"
        "import keras, matplotlib.pyplot, sklearn.linear_model\n"
        "def make(): pass\n"
        "try: keras.wrappers.SKLearnClassifier(make)\n"
        f"except ImportError: assert not {whole}\n"
        f"else: assert {whole}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
