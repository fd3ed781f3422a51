"""Networks exported to other formats, compared with Keras."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.backend.predictor import predict_probabilities
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.build import build
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.errors import UserError
from pipeline.inference.export import Exported, export
from pipeline.params import Block, Head
from pipeline.sections.register import ExportFormat
from tests.pipeline.cnn.architectures import random_architecture


def exported(architecture: Architecture, name: ExportFormat, folder: Path) -> Exported:
    numbers, channels = np.random.default_rng(0), architecture.input_shape[-1]
    model = build(architecture, (127.0,) * channels, (70.0,) * channels, seed=1)
    images = numbers.integers(0, 256, (20, *architecture.input_shape)).astype(np.uint8)
    (result,) = export(model, (name,), folder, images, predict_probabilities(model, images, 8))
    return result


def network(*blocks: dict[str, object]) -> Architecture:
    block = {"filters": 4, "kernel_size": 3, "pooling": "none"}
    return Architecture(
        input_shape=(9, 9, 3),
        classes=3,
        blocks=tuple(Block.model_validate(block | each) for each in blocks),
        head=Head(dense=(5,), dropout=0.2),
    )


VOCABULARY = {
    "activations": [{"activation": name} for name in ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")],
    "poolings": [
        {"pooling": name, "pool_size": 2, "pool_strides": 1} for name in ("max", "average", "min", "sum", "none")
    ],
    "blocks": [
        {"normalization": "batch", "padding": "same", "residual": True, "convs": 2, "attention": "squeeze_excite"},
        {"convolution": "separable"},
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "litert"])
@pytest.mark.parametrize("words", VOCABULARY)
def test_exported_networks_reproduce_predictions_for_the_whole_vocabulary(
    name: ExportFormat, words: str, tmp_path: Path
) -> None:
    result = exported(network(*VOCABULARY[words]), name, tmp_path)
    assert result.largest_difference < 1e-5
    assert result.path.stat().st_size > 500


def feasible(rank: int) -> Iterator[Architecture]:
    for seed in range(1, 1000):
        try:
            compute_geometry(random_architecture(seed, rank))
        except Infeasible:
            continue
        yield random_architecture(seed, rank)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_onnx_supports_grids_of_every_rank(rank: int, tmp_path: Path) -> None:
    architectures = feasible(rank)
    for _ in range(3):
        assert exported(next(architectures), "onnx", tmp_path).largest_difference < 1e-5


@pytest.mark.slow
def test_an_incorrect_conversion_is_refused(tmp_path: Path) -> None:
    """TensorFlow 2.21's LiteRT runtime miscomputes strides larger than the kernel with `same` padding."""
    with pytest.raises(UserError, match=r"litert must reproduce .* to within 0\.001, got a difference of 0\.\d+"):
        exported(network({"kernel_size": 2, "strides": 3, "padding": "same"}), "litert", tmp_path)


def test_an_unsupported_network_is_reported(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 4, 1))
    scores = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.MaxPooling3D()(image)))
    model = keras.Model(image, keras.layers.Softmax()(scores))
    images = np.zeros((2, 4, 4, 4, 1), np.uint8)
    with pytest.raises(UserError, match=r"exports: litert does not support this network: .*; remove litert"):
        export(model, ("litert",), tmp_path, images, predict_probabilities(model, images, 2))


@pytest.mark.parametrize("name", ["onnx", "litert"])
def test_other_backends_are_refused(name: ExportFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.backend.name.backend_name", lambda: "jax")
    with pytest.raises(UserError, match=f"exports: {name} must be exported with the TensorFlow backend, got jax"):
        export(None, (name,), tmp_path, np.zeros(0), np.zeros(0))


def test_nothing_is_exported_without_a_format(tmp_path: Path) -> None:
    assert export(None, (), tmp_path / "exports", np.zeros(0), np.zeros(0)) == []
    assert not (tmp_path / "exports").exists()
