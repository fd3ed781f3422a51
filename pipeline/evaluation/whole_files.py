"""Predictions for whole series and recordings, of which the samples of a split are windows or pieces."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.metrics import Predictions

_NUMBER = re.compile(r" \(\d+\)$")  # which prepare adds to the name of each of several windows


def whole_file_predictions(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: Sequence[str]
) -> Predictions | None:
    """Average the predictions for the windows of each file, as predict and the server do.

    Args:
        probabilities: (n, classes) predicted probabilities of the windows.
        labels: (n,) class indices of the windows.
        names: (n,) names of the windows; empty if unknown.

    Returns:
        Predictions for the files, in the order of their first windows; None if each file has one window.
    """
    files = [_NUMBER.sub("", name) for name in names]
    places = {file: number for number, file in enumerate(dict.fromkeys(files))}
    if len(places) == len(names):
        return None
    of = np.array([places[file] for file in files])
    sums = np.zeros((len(places), probabilities.shape[1]))
    np.add.at(sums, of, probabilities)
    first = np.unique(of, return_index=True)[1]
    return Predictions(sums / np.bincount(of)[:, None], labels[first])
