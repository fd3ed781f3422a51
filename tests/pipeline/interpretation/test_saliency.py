"""Saliency maps of networks that use known parts of the image."""

import keras
import numpy as np
import pytest

from pipeline.backend.predictor import make_predictor
from pipeline.interpretation.feature_separation import separate_features
from pipeline.interpretation.saliency import grad_cam, occlusion_map
from pipeline.interpretation.top_activations import top_activations


def corner_network() -> keras.Model:
    """Predicts `bright` if the upper left quarter of the image is bright, and ignores the rest."""
    image = keras.Input((8, 8, 1))
    maps = keras.layers.Conv2D(
        2, 1, use_bias=False, name="conv", kernel_initializer=keras.initializers.Constant([[[[1.0, -1.0]]]])
    )(image)
    flat = keras.layers.Flatten()(keras.layers.Activation("relu", name="act")(maps))
    weights = np.zeros((8, 8, 2, 2), np.float32)
    weights[:4, :4, 0, 1], weights[:4, :4, 0, 0] = 0.2, -0.2
    scores = keras.layers.Dense(2, name="scores")(flat)
    model = keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(scores))
    model.get_layer("scores").set_weights([weights.reshape(128, 2), np.array([1.0, -1.0])])
    return model


BRIGHT = np.ones((1, 8, 8, 1), np.float32)


def test_grad_cam_equals_a_hand_computed_map() -> None:
    """Channel 0 has a positive mean gradient and an activation of 1, except for one pixel; channel 1 is inactive."""
    image = BRIGHT.copy()
    image[0, 6, 6] = 3.0
    saliency = grad_cam(corner_network(), "act")(image, np.array([1]))
    assert saliency.shape == (1, 8, 8)
    assert saliency[0, 6, 6] == pytest.approx(1.0)
    assert saliency[0, 0, 0] == pytest.approx(1 / 3)
    assert grad_cam(corner_network(), "act")(image, np.array([0])).max() == 0.0


def test_only_covering_the_relevant_region_lowers_the_probability() -> None:
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[:, :4, :4] = 1.0
    saliency = occlusion_map(make_predictor(corner_network(), 16), image, np.array([1]), share=0.25)[0]
    assert saliency[:4, :4].min() > 0.01
    assert saliency[5:, 5:].max() == pytest.approx(0.0, abs=1e-6)


def test_an_occlusion_map_covers_the_edges_of_odd_images() -> None:
    image = keras.Input((7, 5, 1))
    scores = keras.layers.Dense(2, name="scores")(keras.layers.Flatten()(image))
    model = keras.Model(image, keras.layers.Activation("softmax")(scores))
    images = np.random.default_rng(0).uniform(0, 1, (2, 7, 5, 1))
    saliency = occlusion_map(make_predictor(model, 8), images, np.array([0, 1]), 0.3)
    assert saliency.shape == (2, 7, 5)
    assert np.isfinite(saliency).all()


def test_the_strongest_activations_are_located() -> None:
    images = np.random.default_rng(0).uniform(0, 1, (30, 8, 8, 1)).astype(np.float32)
    images[17, 2, 5] = 9.0
    images[4, 7, 0] = 8.0
    (top,) = top_activations(corner_network(), ("act",), images, most_channels=1, most_images=2, batch_size=7)
    assert top.channels.tolist() == [0]
    assert top.extent == (8, 8)
    assert top.images.tolist() == [[17, 4]]
    assert top.places.tolist() == [[2 * 8 + 5, 7 * 8]]
    assert top.values.ravel().tolist() == pytest.approx([9.0, 8.0])


def test_well_separated_classes_have_silhouettes_near_one() -> None:
    numbers = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 50)
    far = numbers.normal(size=(150, 5)) * 0.1 + np.eye(5)[labels] * 10
    separated = separate_features(far, labels, classes=4)
    assert separated.silhouettes[:3].min() > 0.9
    assert np.isnan(separated.silhouettes[3])
    centres = np.stack([separated.places[labels == label].mean(axis=0) for label in range(3)])
    assert np.linalg.norm(centres[0] - centres[1]) > 5
    mixed = separate_features(numbers.normal(size=(150, 5)), labels, classes=3)
    assert np.abs(mixed.silhouettes).max() < 0.2
