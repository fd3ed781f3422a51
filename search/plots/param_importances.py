"""Plot the importance of each variable."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.params import SearchParams
from pipeline.plots.axes import plain, sentence
from pipeline.plots.colours import MUTED
from search.analysis.importance import Importance
from search.plots.parallel_and_slices import MAX_SLICES
from search.plots.style import COMPLETE, label


def param_importances(importances: dict[str, Importance], settings: SearchParams, lacking: str) -> Figure:
    """Plot the importances as bars with their spread.

    Args:
        importances: Importance of each variable, in descending order. Empty if unknown.
        settings: The section `search` of params.yaml.
        lacking: Reason why the importances are unknown.
    """
    if not importances:
        return sentence("Parameter importances", lacking)
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * min(len(importances), MAX_SLICES)), layout="constrained")
    axes = figure.subplots()
    names = list(importances)[:MAX_SLICES][::-1]
    shown = [importances[name] for name in names]
    reach = [[each.share - each.low for each in shown], [each.high - each.share for each in shown]]
    axes.barh(
        names, [each.share for each in shown], xerr=np.maximum(reach, 0.0), color=COMPLETE, ecolor=MUTED, capsize=3
    )
    for place, each in enumerate(shown):
        axes.annotate(
            f"{each.share:.2f}", (max(each.high, each.share), place), (5, 0), textcoords="offset points", va="center"
        )
    what = f"importance for the best third by {label(settings.objectives[0])} (PED-ANOVA, 5th to 95th percentile)"
    axes.set(xlabel=what, title="Parameter importances")
    axes.margins(y=0.02)
    axes.set_xlim(0, max(max(each.high, each.share) for each in shown) * 1.15 or 1.0)
    plain(axes)
    return figure
