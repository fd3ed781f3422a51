"""All static plots of a study."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from search.analysis.importance import Importance
from search.plots.history import optimization_history, training_effort
from search.plots.learning_curves import learning_curves
from search.plots.parallel_and_slices import parallel_coordinates, slices
from search.plots.param_importances import param_importances
from search.plots.pareto_front import draw_pareto_front
from search.plots.rung_survival import rung_survival
from search.study.config import StudyConfig
from search.study.results import TrialResult


def pictures(
    results: Sequence[TrialResult], config: StudyConfig, importances: dict[str, Importance], lacking: str
) -> dict[str, Figure]:
    """Return all plots of a study by file name without suffix.

    `pareto_front` is included if there are several objectives.

    Args:
        results: All trials of the study.
        config: The constants of the study.
        importances: Importance of each variable, in descending order. Empty if unknown.
        lacking: Reason why the importances are unknown.
    """
    settings = config.settings
    others = sorted({name for result in results for name in result.drawn} - set(importances))
    names = [*importances, *others]
    found = {
        "optimization_history": optimization_history(results, settings),
        "training_effort": training_effort(results, config),
        "learning_curves": learning_curves(results, config),
        "rung_survival": rung_survival(results, config),
        "param_importances": param_importances(importances, settings, lacking),
        "parallel_coordinate": parallel_coordinates(results, settings, names),
        "slice": slices(results, settings, names),
    }
    if len(settings.objectives) > 1:
        found["pareto_front"] = draw_pareto_front(results, config)
    return found
