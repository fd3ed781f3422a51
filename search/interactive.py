"""The study as interactive pages that need no network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna import visualization
from optuna.trial import TrialState

Plot = Callable[[optuna.Study], Any]


def write_pages(study: optuna.Study, shares: dict[str, float], folder: Path) -> None:
    """Write the four plots as HTML beside one shared plotly.min.js; equal studies, equal bytes.

    Args:
        study: with the reported trials.
        shares: importance of each variable; empty: unknown.
        folder: exists.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    drawn = any(trial.params for trial in complete)
    plots: dict[str, tuple[Plot, bool, str]] = {
        "optimization_history": (visualization.plot_optimization_history, bool(complete), "a completed trial"),
        "param_importances": (lambda _: _importances(shares), bool(shares), "two completed trials that differ"),
        "parallel_coordinate": (visualization.plot_parallel_coordinate, drawn, "a completed trial with drawn values"),
        "slice": (visualization.plot_slice, drawn, "a completed trial with drawn values"),
    }
    for name, (plot, possible, needs) in plots.items():
        figure = plot(study) if possible else _sentence(name, needs)
        page = figure.to_html(include_plotlyjs="directory", div_id=name, full_html=True)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    _write_script(folder)


def _importances(shares: dict[str, float]) -> Any:
    """Bars; Optuna's own page differs between two processes, where variables share a value."""
    import plotly.graph_objects as go

    names = list(shares)[::-1]
    values = [shares[name] for name in names]
    bars = go.Bar(x=values, y=names, text=[f"{value:.2f}" for value in values], orientation="h")
    title = {"text": "Parameter importances"}
    return go.Figure(bars, layout={"title": title, "xaxis": {"title": {"text": "share (PED-ANOVA)"}}})


def _sentence(name: str, needs: str) -> Any:
    import plotly.graph_objects as go

    title = name.replace("_", " ").capitalize()
    return go.Figure(layout={"title": {"text": f"{title}: nothing to show, it needs {needs}"}})


def _write_script(folder: Path) -> None:
    from plotly.offline import get_plotlyjs

    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
