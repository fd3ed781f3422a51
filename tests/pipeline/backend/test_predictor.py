"""Prediction in batches whose size is bounded."""

import keras
import numpy as np
import pytest

from pipeline.backend import predictor
from pipeline.backend.predictor import batch_that_fits, make_predictor
from pipeline.interpretation.layer_outputs import network_outputs
from pipeline.interpretation.saliency import grad_cam, occlusion_map


class Watched:
    """Samples that remember how many were read at once, like rows of a file."""

    def __init__(self, samples: np.ndarray) -> None:
        self._samples, self.most = samples, 0
        self.shape, self.dtype = samples.shape, samples.dtype

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, chosen: slice) -> np.ndarray:
        read = self._samples[chosen]
        self.most = max(self.most, len(read))
        return read


@pytest.fixture(scope="module")
def network() -> keras.Model:
    given = keras.Input((16, 16, 1))
    maps = keras.layers.Conv2D(8, 3, padding="same", name="block1_conv1")(given)
    scores = keras.layers.Dense(2, name="scores")(keras.layers.GlobalAveragePooling2D()(maps))
    return keras.Model(given, keras.layers.Activation("softmax", name="probabilities")(scores))


def test_a_sample_of_64_megabytes_is_predicted_in_batches_of_few(network: keras.Model) -> None:
    assert batch_that_fits(network, 256) == 256
    large = keras.Sequential([keras.Input((256, 256, 256, 1)), keras.layers.AveragePooling3D(2)])
    assert 1 <= batch_that_fits(large, 256) <= 8
    wide = keras.Sequential([keras.Input((256, 256, 256, 1)), keras.layers.Conv3D(32, 1)])
    assert batch_that_fits(wide, 256) == 1


def test_smaller_batches_give_the_same_results(network: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).uniform(0, 255, (10, 16, 16, 1)).astype(np.float32)
    labels = np.arange(10) % 2
    predict = make_predictor(network, 256)
    cam, covered = grad_cam(network, "block1_conv1"), occlusion_map(predict, samples[:2], labels[:2], 0.25)
    whole = predict(samples), next(network_outputs(network, samples, 256)), cam(samples, labels)
    monkeypatch.setattr(predictor, "_MAX_VALUES", 3 * (16 * 16 + 2 * 16 * 16 * 8))
    monkeypatch.setattr("pipeline.interpretation.saliency._MAX_VALUES", 3 * 16 * 16)
    watched = Watched(samples)
    assert make_predictor(network, 256)(watched) == pytest.approx(whole[0], abs=1e-6)  # type: ignore[arg-type]
    assert watched.most == 3
    parts = list(network_outputs(network, watched, 256))
    assert len(parts) == 4
    features, rounding = whole[1].features, 1e-6 * float(np.abs(whole[1].features).max())
    assert np.concatenate([part.features for part in parts]) == pytest.approx(features, rel=1e-5, abs=rounding)
    assert grad_cam(network, "block1_conv1")(samples, labels) == pytest.approx(whole[2], abs=1e-5)
    assert occlusion_map(predict, samples[:2], labels[:2], 0.25) == pytest.approx(covered, abs=1e-6)
