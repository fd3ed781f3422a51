"""Start and configure the Keras backend of this process: determinism, threads."""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module

from pipeline.backend.name import Backend, backend_name
from pipeline.terminal.console import buffered_stderr, note

# TensorFlow and Keras import these if installed, for parts that are not used here; this takes 3.5 of 9 seconds.
_NEEDLESS = {"jax", "matplotlib", "sklearn"}


def start_backend(whole_keras: bool = False, command: str | None = None) -> None:
    """Import the Keras backend: TensorFlow, unless KERAS_BACKEND names another. Call it before importing keras.

    The import takes seconds. Lines that TensorFlow writes while it detects devices are suppressed, unless
    TF_CPP_MIN_LOG_LEVEL is below 2.

    Args:
        whole_keras: Also import the parts of Keras that need scikit-learn or matplotlib, for other applications.
        command: Command name for a message that the backend is being loaded; None: no message.

    Raises:
        UserError: See `backend_name`.
    """
    name = os.environ["KERAS_BACKEND"] = backend_name()
    if command is not None:
        note(f"{command}: loading Keras with {name}")
    with _without(() if whole_keras else _NEEDLESS - {name}):
        if name == "tensorflow":
            _start_tensorflow()
        else:
            if name == "jax":
                _set_jax_flags()
            import_module(name)
        _ignore_keras_json()
    _exclude_from_garbage_collection(name)


def load_keras(command: str, threads: int) -> None:
    """Start the backend, unless it runs already, and configure it.

    Args:
        command: Command name for a message that the backend is being loaded.
        threads: See `configure`.

    Raises:
        UserError: See `backend_name`.
    """
    start_backend(command=None if "keras" in sys.modules else command)
    configure(threads)


@cache
def _exclude_from_garbage_collection(name: Backend) -> None:
    """Exclude the objects of the backend, which live as long as the process: scanning them takes 0.2 s each time."""
    gc.collect()
    gc.freeze()


def _start_tensorflow() -> None:
    with buffered_stderr(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") >= "2"):
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")  # otherwise it warns about each network that a study traces


@contextmanager
def _without(names: Iterable[str]) -> Iterator[None]:
    """Make packages appear not to be installed within the block; those already imported stay available."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _ignore_keras_json() -> None:
    """Override ~/.keras/keras.json: networks are channels last, with float32 weights."""
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def configure(threads: int) -> None:
    """Make later computation deterministic. May be called any number of times.

    Networks have their own seeds, and do not use a global generator.

    Args:
        threads: Processor threads per operation. TensorFlow and JAX read the number once per process, before their
            first operation; later calls cannot change it.

    Raises:
        UserError: See `backend_name`.
    """
    match backend_name():
        case "tensorflow":
            _configure_tensorflow(threads)
        case "jax":
            os.environ["PJRT_NPROC"] = str(threads)
        case "torch":
            _configure_torch(threads)


@cache  # setting the seed again discards the compiled graphs of cached networks: 0.3 s per rung
def _configure_tensorflow(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        pass  # TensorFlow is already initialized
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # determinism requires a seed


def disable_remapper() -> None:
    """Turn off remapping, a step of TensorFlow's graph optimizer, in the graphs that are traced from now on.

    It fuses convolutions of one channel with additions, which oneDNN then cannot compute
    (docs/decisions/0019-no-remapper.md).
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"remapping": False})


@contextmanager
def without_graph_optimizer() -> Iterator[None]:
    """Do not optimize the TensorFlow graphs that run within the block, in this thread.

    Training graphs, which have few operations already, gain nothing on processors, and are ready sooner without it. On
    GPUs it chooses the layout of the arrays, and stays on.
    """
    import tensorflow as tf

    disable_remapper()
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on_gpu})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def _set_jax_flags() -> None:
    """Set the options that JAX reads when it looks for devices: determinism and memory."""
    # By default JAX allocates most of a GPU's memory at once, and leaves none for a second job.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_deterministic_ops" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()


def _configure_torch(threads: int) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS for determinism
    torch = import_module("torch")
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
