"""Compare Adam for TensorFlow with Keras's Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.backend.adam_tensorflow import Adam


@pytest.mark.slow
@pytest.mark.parametrize("weight_decay", [None, 0.01])
def test_steps_equal_those_of_keras_adam(weight_decay: float | None) -> None:
    """Twenty steps with gradients of very different sizes and a changing learning rate agree within rounding."""
    numbers = np.random.default_rng(0)
    start = [numbers.normal(size=shape).astype(np.float32) for shape in ((3, 3, 2, 4), (4,), ())]
    gradients = [[numbers.normal(size=value.shape) * 10.0 ** (step % 7 - 5) for value in start] for step in range(20)]
    ends = []
    for kind in (Adam, keras.optimizers.Adam):
        optimizer = kind(keras.optimizers.schedules.CosineDecay(0.1, 20), weight_decay=weight_decay)
        variables = [keras.Variable(value) for value in start]
        optimizer.build(variables)
        for each in gradients:
            optimizer.apply([tf.constant(gradient, tf.float32) for gradient in each], variables)
        ends.append([np.asarray(variable) for variable in (*variables, *optimizer.variables)])
    ours, reference = ends
    assert len(ours) == len(reference) == 3 + 1 + 2 * 3
    for one, other in zip(ours, reference, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert all(np.any(end != begin) for end, begin in zip(ours, start, strict=False))
