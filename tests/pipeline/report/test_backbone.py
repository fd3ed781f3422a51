"""Heat maps of a backbone; tests/pipeline/backbones/test_stages.py covers the whole evaluation."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.backbones.weights_file import read_weights
from pipeline.cnn.build import build
from pipeline.interpretation.layer_outputs import last_map
from pipeline.interpretation.saliency import grad_cam
from tests.pipeline.backbones.files import architecture, save_random_weights


def test_grad_cam_explains_the_last_map_of_the_backbone(tmp_path: Path) -> None:
    save_random_weights(path := tmp_path / "small.weights.h5")
    described = architecture((40, 36, 1), weights=str(path))
    network = build(described, (127.0,), (70.0,), seed=1)
    assert described.backbone is not None
    for name, values in read_weights(described.backbone).items():
        network.get_layer(name).set_weights(values)
    layer = last_map(network)
    assert layer == "conv_pw_13_relu"
    images = np.random.default_rng(1).uniform(0, 255, (3, 40, 36, 1)).astype(np.float32)
    maps = grad_cam(network, layer)(images, np.array([0, 1, 0]))
    assert maps.shape == (3, 40, 36)
    assert maps.max() == pytest.approx(1.0)
