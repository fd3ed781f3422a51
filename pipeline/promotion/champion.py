"""Evaluate the champion on the current test images, which may differ from those at its registration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Kind
from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.metrics import Predictions, chance, share_intervals, summary
from pipeline.evaluation.robustness import evaluate_corruptions, means, robustness
from pipeline.evaluation.whole_files import whole_file_predictions
from pipeline.sections import EvaluateParams


@dataclass(frozen=True)
class ChampionEvaluation:
    """Evaluation of the champion, and the comparison of a new network with it.

    Attributes:
        metrics: Metrics of the champion, by name.
        comparison: Comparison of the new network with the champion.
    """

    metrics: dict[str, float]
    comparison: Comparison


def evaluate_champion(
    predictions: Predictions,
    model: Any,
    predict: Callable[[NDArray[np.float32]], NDArray[Any]],
    images: NDArray[Any],
    params: EvaluateParams,
    seed: int,
    corrupted: bool,
    kind: Kind = "image",
    names: Sequence[str] = (),
) -> ChampionEvaluation:
    """Evaluate the champion with the settings of the new network's evaluation, and compare the two networks.

    Series and recordings that were cut into several samples are compared as whole files, since parts of one file are
    not independent. The metrics of the champion then include `whole_file_accuracy`.

    Args:
        predictions: Predictions of the new network for the test images.
        model: The champion.
        predict: Function from (n, *grid, channels) raw values to the champion's (n, classes) probabilities.
        images: (n, *grid, channels) raw values of the test split.
        params: Settings of the evaluation.
        seed: Seed of the corruptions, the same as for the new network.
        corrupted: Whether to evaluate the champion's robustness, which takes sixty times as long as the rest.
        kind: Kind of the samples.
        names: (n,) names of the test images; empty if unknown.
    """
    given = Predictions(predict(images), predictions.labels)
    metrics = summary(given, params) | {"params": model.count_params()}
    corruptions = params.corruptions if corrupted else ()
    if corruption_results := evaluate_corruptions(predict, images, predictions.labels, corruptions, seed, kind):
        clean = given.of(corruption_results[0].places)
        low, _ = share_intervals(clean, params)["accuracy"]
        kept = robustness(corruption_results, float(clean.correct.mean()), low, chance(clean.labels))
        if kept is not None:
            metrics["robustness"] = kept
        metrics |= {f"accuracy_{name}": value for name, value in means(corruption_results).items()}
    own, theirs = (whole_file_predictions(each, kind, names) for each in (predictions, given))
    if theirs is not given:
        metrics["whole_file_accuracy"] = float(theirs.correct.mean())
    return ChampionEvaluation(metrics, compare(own.correct, theirs.correct, params.confidence_level))
