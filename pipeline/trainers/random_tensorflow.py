"""Random numbers of a training step in TensorFlow, which depend on the seed and the number of the step only."""

from collections.abc import Sequence
from math import prod
from typing import Any

import tensorflow as tf

_PHILOX = 1
_CALLS = 1024  # at most, in one step


class Random:
    """Random numbers of one step. Each call has its own stream.

    Args:
        seed: The seed, a scalar int64 tensor.
        step: Number of the step, a scalar int64 tensor.
    """

    def __init__(self, seed: Any, step: Any) -> None:
        self._key = tf.reshape(tf.bitcast(seed, tf.uint64), [1])
        self._first, self._calls = tf.cast(step, tf.uint64) * _CALLS, 0

    def uniform(self, shape: Sequence[int]) -> Any:
        """Draw float32 numbers of this shape from [0, 1)."""
        return tf.raw_ops.StatelessRandomUniformV2(
            shape=list(shape), key=self._key, counter=self._counter(), alg=_PHILOX
        )

    def bytes(self, shape: Sequence[int]) -> Any:
        """Draw uint8 numbers of this shape from 0 to 255."""
        size = prod(shape)
        words = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[-(-size // 4)], key=self._key, counter=self._counter(), alg=_PHILOX, dtype=tf.uint32
        )
        return tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:size], shape)

    def _counter(self) -> Any:
        self._calls += 1
        return tf.stack([tf.constant(0, tf.uint64), self._first + self._calls])
