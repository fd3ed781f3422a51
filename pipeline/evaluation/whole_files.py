"""Predictions for whole series and recordings, of which the samples of a split are windows or pieces."""

import re
from collections.abc import Sequence

import numpy as np

from pipeline.data.dataset import Kind
from pipeline.evaluation.metrics import Predictions

_NUMBER = re.compile(r" \(\d+\)$")  # which prepare adds to the name of each of several windows


def whole_file_predictions(samples: Predictions, kind: Kind, names: Sequence[str]) -> Predictions:
    """Average the predictions for the windows of each file, as predict and the server do.

    Args:
        samples: Predictions for n samples.
        kind: Kind of the samples. Only series and audio have windows.
        names: (n,) names of the samples; empty if unknown.

    Returns:
        Predictions for the files, in the order of their first windows; `samples` itself if each file is one sample.
    """
    if kind not in ("series", "audio"):
        return samples
    files = [_NUMBER.sub("", name) for name in names]
    places = {file: number for number, file in enumerate(dict.fromkeys(files))}
    if len(places) == len(names):
        return samples
    of = np.array([places[file] for file in files])
    sums = np.zeros((len(places), samples.probabilities.shape[1]))
    np.add.at(sums, of, samples.probabilities)
    first = np.unique(of, return_index=True)[1]
    return Predictions(sums / np.bincount(of)[:, None], samples.labels[first])
