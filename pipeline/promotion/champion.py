"""The champion's figures on the test images at hand, whatever it was judged by when it was registered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.comparison import Comparison, compare
from pipeline.evaluation.metrics import Predictions, share_intervals, summary
from pipeline.evaluation.robustness import evaluate_corruptions, means, robustness
from pipeline.params import EvaluateParams


@dataclass(frozen=True)
class ChampionEvaluation:
    """A network that another one is compared with.

    Attributes:
        figures: of the opponent, by name.
        comparison: of the other network with it.
    """

    figures: dict[str, float]
    comparison: Comparison


def evaluate_champion(
    answers: Predictions,
    model: Any,
    answer: Callable[[NDArray[np.float32]], NDArray[Any]],
    images: NDArray[Any],
    params: EvaluateParams,
    seed: int,
    corrupted: bool,
) -> ChampionEvaluation:
    """Judge the opponent as the network was judged, and compare the two.

    Args:
        answers: of the network to the test images.
        model: the opponent.
        answer: from (n, *grid, channels) raw values to the opponent's (n, classes) probabilities.
        images: (n, *grid, channels), raw values of the test split.
        params: how the network was judged.
        seed: of the corruptions, as for the network.
        corrupted: whether the opponent's robustness is asked for, which takes sixty times as long as the rest.
    """
    given = Predictions(answer(images), answers.labels)
    figures = summary(given, params) | {"params": model.count_params()}
    if corrupted:
        low, _ = share_intervals(given, params)["accuracy"]
        corruption_results = evaluate_corruptions(answer, images, answers.labels, params.corruptions, seed)
        kept = robustness(corruption_results, figures["accuracy"], low, figures["chance"])
        if kept is not None:
            figures["robustness"] = kept
        figures |= {f"accuracy_{name}": value for name, value in means(corruption_results).items()}
    return ChampionEvaluation(figures, compare(answers.correct, given.correct, params.confidence_level))
