"""What the pictures of a network's inside show."""

import numpy as np
from matplotlib.text import Text

from pipeline.plots.interpretation import draw_feature_maps, varying


def test_feature_maps_are_shown_only_where_there_is_something_to_see() -> None:
    maps = np.random.default_rng(0).uniform(0, 1, (4, 4, 3)).astype(np.float32)
    maps[..., 1] = 0.7  # the same everywhere
    assert varying(maps).tolist() == [True, False, True]
    figure = draw_feature_maps(np.zeros((4, 4, 1), np.uint8), {"conv": maps}, (0.0, 255.0), "a title")
    labels = {text.get_text() for text in figure.findobj(Text)} - {""}
    assert labels in ({"a title", "conv: 0", "2"}, {"a title", "conv: 2", "0"})
