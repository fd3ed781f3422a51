"""How TensorFlow computes in this process: deterministically, on so many threads, in this precision."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from pipeline.terminal import UserError, held_back_stderr

Precision = Literal["float32", "bfloat16"]


def start_tensorflow() -> None:
    """Import TensorFlow as Keras's backend, without the lines that it writes while it looks for devices.

    Call it before keras is imported; it takes seconds. With TF_CPP_MIN_LOG_LEVEL below 2 the lines are shown.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with held_back_stderr(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") >= "2"):
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")  # it warns of each network that a study traces


def configure(threads: int, seed: int) -> None:
    """Make what follows deterministic; may be called any number of times.

    Args:
        threads: processor threads for one operation. TensorFlow takes them once per process, before its first
            operation; later calls cannot change them.
        seed: of Python's, NumPy's and Keras's global generators.

    Raises:
        UserError: Keras runs on another backend than TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND: training needs tensorflow, got {keras.backend.backend()!r}; unset it, "
            "and remove backend from ~/.keras/keras.json"
        )
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        pass  # TensorFlow has started, and says so
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed % 2**32)


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within the block, networks are built and functions are traced for this precision; weights stay float32.

    bfloat16 is Keras's mixed_bfloat16 policy on a GPU, and on processors oneDNN's rewrite of the finished graph,
    which is the faster of the two there.
    """
    import keras
    import tensorflow as tf

    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    low = precision == "bfloat16"
    policy: Any = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if low and on_gpu else "float32")
    tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": low and not on_gpu})
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        tf.config.optimizer.set_experimental_options({"auto_mixed_precision_onednn_bfloat16": False})
