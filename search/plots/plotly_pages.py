"""Interactive plots of a study as HTML pages that work offline."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna import visualization
from optuna.trial import TrialState

from pipeline.description.notation import in_words
from search.analysis.importance import Importance
from search.plots.style import BEST, COMPLETE, PRUNED, label, of_state, ordered_by, written
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction, pareto_front

Plot = Callable[[optuna.Study], Any]


def write_pages(
    study: optuna.Study,
    results: Sequence[TrialResult],
    config: StudyConfig,
    importances: dict[str, Importance],
    lacking: str,
    folder: Path,
) -> None:
    """Write the plots as HTML files that share one plotly.min.js. Equal studies produce identical bytes.

    A study with several objectives also gets pareto_front.html. The other plots show the first objective.

    Args:
        study: A study that has only the first objective and the reported trials.
        results: The reported trials.
        config: The constants of the study.
        importances: Importance of each variable. Empty if unknown.
        lacking: Reason why the importances are unknown.
        folder: Existing output folder.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    drawn = any(trial.params for trial in complete)
    settings = config.settings
    objective = label(settings.objectives[0])
    plots: dict[str, tuple[Plot, bool, str]] = {
        "optimization_history": (
            lambda shown: visualization.plot_optimization_history(shown, target_name=objective),
            bool(complete),
            "no completed trial",
        ),
        "param_importances": (lambda _: _importances(importances), bool(importances), lacking),
        "parallel_coordinate": (
            lambda shown: visualization.plot_parallel_coordinate(shown, target_name=objective),
            drawn,
            "no completed trial with drawn values",
        ),
        "slice": (
            lambda shown: visualization.plot_slice(shown, target_name=objective),
            drawn,
            "no completed trial with drawn values",
        ),
    }
    if len(settings.objectives) > 1:
        plots["pareto_front"] = (lambda _: _pareto(results, config), bool(complete), "no completed trial")
    for name, (plot, possible, needs) in plots.items():
        figure = plot(study) if possible else _sentence(name, needs)
        page = figure.to_html(include_plotlyjs="directory", div_id=name, full_html=True)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    _write_script(folder)


def _importances(importances: dict[str, Importance]) -> Any:
    """Plot the importances as bars with their spread.

    Optuna's own plot is not used, because it differs between two processes if variables have the same importance.
    """
    import plotly.graph_objects as go

    names = list(importances)[::-1]
    shown = [importances[name] for name in names]
    bars = go.Bar(
        x=[each.share for each in shown],
        y=names,
        text=[f"{each.share:.2f} ({each.low:.2f} to {each.high:.2f})" for each in shown],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, each.high - each.share) for each in shown],
            "arrayminus": [max(0.0, each.share - each.low) for each in shown],
        },
        orientation="h",
    )
    title = {"text": "Parameter importances"}
    return go.Figure(bars, layout={"title": title, "xaxis": {"title": {"text": "importance (PED-ANOVA, best third)"}}})


def _pareto(results: Sequence[TrialResult], config: StudyConfig) -> Any:
    """Plot the first objective against each of the others, side by side."""
    from plotly.subplots import make_subplots

    settings = config.settings
    first, *others = settings.objectives
    front = pareto_front(results, settings.objectives)
    numbers = {result.number for result in front}
    beaten = [result for result in of_state(results, "complete") if result.number not in numbers]
    best = best_of(results, settings)
    groups = (("dominated", beaten, PRUNED, "circle-open", 8), ("on the front", front, COMPLETE, "circle", 9))
    chosen = [] if best is None else [best]
    figure: Any = make_subplots(rows=1, cols=len(others), shared_yaxes=True)
    for place, other in enumerate(others, start=1):
        shape = "hv" if direction(other) == "minimize" else "vh"
        for name, some, color, symbol, size in (*groups, ("chosen", chosen, BEST, "circle-open", 18)):
            ordered = ordered_by(some, other)
            figure.add_scatter(
                x=[result.objective(other) for result in ordered],
                y=[result.objective(first) for result in ordered],
                text=[_hover(result, config) for result in ordered],
                hoverinfo="text",
                mode="lines+markers" if name == "on the front" and len(others) == 1 else "markers",
                marker={"color": color, "symbol": symbol, "size": size, "line": {"width": 2}},
                line={"shape": shape, "color": color},
                name=name,
                showlegend=place == 1,
                row=1,
                col=place,
            )
        figure.update_xaxes(title_text=label(other, config.words), row=1, col=place)
    figure.update_yaxes(title_text=label(first), row=1, col=1)
    return figure.update_layout(title={"text": "Pareto front"})


def _hover(result: TrialResult, config: StudyConfig) -> str:
    values = (
        f"{label(name, config.words)}: {written(name, result.objective(name))}" for name in config.settings.objectives
    )
    return "<br>".join([f"trial {result.number}", *values, in_words(result.candidate)])


def _sentence(name: str, needs: str) -> Any:
    import plotly.graph_objects as go

    title = name.replace("_", " ").capitalize()
    return go.Figure(layout={"title": {"text": f"{title}: nothing to show ({needs})"}})


def _write_script(folder: Path) -> None:
    from plotly.offline import get_plotlyjs

    (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
