"""Plot the Pareto front of a study with several objectives."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pipeline.plots.axes import plain, scale_along, sentence
from search.plots.style import BEST, COMPLETE, PRUNED, label, legend, of_state, ordered_by
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction, pareto_front


def draw_pareto_front(results: Sequence[TrialResult], config: StudyConfig) -> Figure:
    """Plot the first objective against each of the others, with the Pareto front."""
    settings = config.settings
    first, *others = settings.objectives
    complete = of_state(results, "complete")
    if not complete:
        return sentence("Pareto front", "no trial completed")
    front = pareto_front(results, settings.objectives)
    numbers = {result.number for result in front}
    best = best_of(results, settings)
    columns = min(2, len(others))
    rows = -(-len(others) // columns)
    figure = Figure(figsize=(8, 0.8 + (4 if columns == 1 else 3.2) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(others):
            axes.set_visible(False)
            continue
        other = others[place]
        beaten = [result for result in complete if result.number not in numbers]
        ordered = ordered_by(front, other)
        if len(others) == 1:  # with more objectives, the projection of the front is not a line
            step = "post" if direction(other) == "minimize" else "pre"
            axes.step(*_pairs(ordered, other, first), where=step, color=COMPLETE, linewidth=1.2)
        axes.scatter(*_pairs(beaten, other, first), s=24, facecolors="none", edgecolors=PRUNED, label="dominated")
        axes.scatter(*_pairs(ordered, other, first), s=34, color=COMPLETE, zorder=3, label="on the front")
        if best is not None:
            axes.scatter(
                *_pairs([best], other, first), s=130, facecolors="none", edgecolors=BEST, linewidths=1.8, label="chosen"
            )
        scale_along(axes, [result.objective(other) for result in complete])
        axes.set_xlabel(label(other, config.words))
        if place % columns == 0:
            axes.set_ylabel(label(first))
        plain(axes)
    legend(figure, grid[0][0])
    figure.suptitle("Pareto front")
    return figure


def _pairs(some: Sequence[TrialResult], along: str, up: str) -> tuple[list[float], list[float]]:
    return [result.objective(along) for result in some], [result.objective(up) for result in some]
