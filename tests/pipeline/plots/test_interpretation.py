"""Figures that interpret a network."""

import numpy as np
from matplotlib.text import Text

from pipeline.plots.interpretation import draw_feature_maps, varying


def test_constant_feature_maps_are_not_drawn() -> None:
    maps = np.random.default_rng(0).uniform(0, 1, (4, 4, 3)).astype(np.float32)
    maps[..., 1] = 0.7  # constant
    assert varying(maps).tolist() == [True, False, True]
    figure = draw_feature_maps(np.zeros((4, 4, 1), np.uint8), {"conv": maps}, (0.0, 255.0), "a title")
    labels = {text.get_text() for text in figure.findobj(Text)} - {""}
    assert labels in ({"a title", "conv: 0", "2"}, {"a title", "conv: 2", "0"})
