"""The handwritten digits of scikit-learn."""

import numpy as np

from pipeline.sources.source import Source


def load_digits() -> Source:
    """Load the 1,797 images of 8×8×1."""
    from sklearn import datasets

    images, labels = datasets.load_digits(return_X_y=True)
    scaled = (images.reshape(-1, 8, 8, 1) * (255 / 16)).round().astype(np.uint8)  # 17 grey levels, scaled to 0 to 255
    return Source("digits", tuple("0123456789"), {"train": (scaled, labels.astype(np.int64))})
