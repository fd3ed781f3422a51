"""The report of a study as one self-contained HTML page, reports/search/index.html."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from pipeline.cnn.geometry import compute_geometry
from pipeline.description.layer_table import layer_cells
from pipeline.description.notation import in_words
from pipeline.errors import plural
from pipeline.pages.architecture_diagram import architecture_diagram
from pipeline.pages.document import Section, document, framed
from pipeline.pages.tables import Cell, Column, table
from pipeline.pages.templates import render
from pipeline.params import SearchParams
from pipeline.plots.axes import NOTHING
from search.analysis.finalists import finalists, finalists_in_words
from search.analysis.uncertainty import uncertainty_in_words
from search.plots.style import STATES, label, named, of_state, value_of, written
from search.report.trial_cells import figure_cell, number_cell, objective_cells, objective_columns
from search.study.config import StudyConfig
from search.study.results import TrialResult, best_of, direction, pareto_front

_TEMPLATES = Path(__file__).with_name("templates")
_NEVER_FITS = "input shape (a kernel, window or layer does not fit)"
# For each plot: its caption, and whether there is an interactive page with the same name.
_CAPTIONS = {
    "optimization_history": ("The {objective} of each trial after its last epoch, and the best value so far.", True),
    "training_effort": (
        "The same history over the cumulative training effort. An epoch of a larger network, or on more {samples}, "
        "counts more.",
        False,
    ),
    "wall_time": ("The same history over wall-clock time.", False),
    "learning_curves": (
        "The {objective} of each trained trial after each epoch. The best trials are labelled with their numbers. "
        "Trials that are far worse than the better half may lie outside the axis range.",
        False,
    ),
    "rung_survival": (
        "Number of trained trials that reached each rung, and their {objective} there (red: median, grey: quartiles). "
        "Reused trials are not counted, because they were not trained.",
        False,
    ),
    "pareto_front": ("The front consists of the completed trials that no other completed trial dominates.", True),
    "param_importances": ("PED-ANOVA importance of each drawn variable for reaching the best third of the completed "
                          "trials, with the spread over resampled trials. Only the most important variables are "
                          "shown.", True),
    "parallel_coordinate": ("One line per completed trial; better trials have stronger lines. Axes are logarithmic if "
                            "the values span orders of magnitude. Variables are ordered by importance, if known.",
                            True),
    "slice": ("The {objective} against each drawn variable. Variables are ordered by importance, if known.", True),
}  # fmt: skip


def page(
    name: str,
    results: Sequence[TrialResult],
    config: StudyConfig,
    pictures: Mapping[str, Markup],
    relative_root: str = "",
    runs: Mapping[str, str] | None = None,
) -> str:
    """Return the HTML page of a study.

    Equal studies produce identical pages, except for the plot `wall_time` and the links to MLflow.

    Args:
        name: Name of the study.
        results: All trials of the study.
        config: The constants of the study.
        pictures: SVG or img elements by the keys of `_CAPTIONS`. `wall_time` may be missing.
        relative_root: Relative path from the page to the other files of the report, such as `../../reports/search/`.
        runs: URL of each trial's MLflow run, by trial number. None omits the links, so that the page does not differ
            between equal studies.
    """
    settings = config.settings
    best = best_of(results, settings)
    sections = [
        *([] if best is None else [Section("architecture", "Best architecture", _architecture(best, config))]),
        *([Section("finalists", "Finalists", _finalists(results, best, config))] if best and best.finals else []),
        Section("history", "History", _history(name, config, pictures, relative_root)),
        Section(
            "rungs",
            "Learning curves and rungs",
            _figures(config, pictures, relative_root, "learning_curves", "rung_survival"),
        ),
        *(
            [Section("pareto", "Pareto front", _pareto(results, config, pictures, relative_root))]
            if len(settings.objectives) > 1
            else []
        ),
        Section(
            "values",
            "Effect of the drawn values",
            _figures(config, pictures, relative_root, "param_importances", "parallel_coordinate", "slice"),
        ),
        Section("failures", "Failures", _failures(results)),
        Section("infeasible", "Infeasible candidates", _infeasible(results)),
        Section("trials", "All trials", _trials(name, results, config, runs)),
    ]
    footer = render(_TEMPLATES / "footer.html", relative_root=relative_root)
    return document(f"Study {name}", verdict(results, config), sections, footer)


def verdict(results: Sequence[TrialResult], config: StudyConfig) -> str:
    """Summarize the study in a few sentences, including the uncertainty of its ranking."""
    counts = [f"{count} {state}" for state in STATES if (count := len(of_state(results, state)))]
    total = f"{len(results)} {plural(len(results), 'trial')}"
    trials = f"{total}: {', '.join(counts)}." if results else "The study has no trials."
    settings = config.settings
    best = best_of(results, settings)
    if best is None:
        return f"No trial completed. {trials}"
    first = settings.objectives[0]
    values = [named(name, best.objective(name), config.words) for name in settings.objectives]
    values += [
        named(name, best.cost[name], config.words) for name in ("params", "macs") if name not in settings.objectives
    ]
    who = f"Trial {best.number}" + (" (the baseline)" if best.number == 0 else "")
    how = "is the best"
    if best.finals:
        how = "is the best finalist"
    if settings.choose == "cheapest":
        sign = 1.0 if direction(first) == "maximize" else -1.0
        contenders = [each for each in of_state(results, "complete") if bool(each.finals) == bool(best.finals)]
        top = max(sign * each.decisive(first) for each in contenders)
        how = f"is the cheapest within {settings.tolerance:g} of the best {label(first)}"
        how += f" ({written(first, sign * top)}{', mean of further training runs' if best.finals else ''})"
    sentences = [
        *finalists_in_words(results, best, settings, config.words),
        *uncertainty_in_words(results, best, first, config.val_images, config.words),
    ]
    return f"{who} {how}: {', '.join(values)}. {trials} {' '.join(sentences)}"


def _architecture(best: TrialResult, config: StudyConfig) -> Markup:
    geometry = compute_geometry(best.candidate.architecture)
    rows = [list(layer_cells(entry)) for entry in geometry.layers]
    heads = [Column(title) for title in ("layer", "kind", "output")]
    heads += [Column(title, number=True) for title in ("parameters", "MACs", "receptive field", "total stride")]
    sums = ["total", "", "", f"{geometry.params:,}", f"{geometry.macs:,}", "", ""]
    settings = best.candidate.training.items()
    drawn = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings)
    return render(
        _TEMPLATES / "best_architecture.html",
        diagram=architecture_diagram(geometry),
        number=best.number,
        candidate=in_words(best.candidate),
        drawn=drawn,
        layers=table(f"Layers of the best architecture, with costs per {config.words.one}", heads, rows, sums),
        geometry=geometry,
        sample=config.words.one,
    )


def _finalists(results: Sequence[TrialResult], best: TrialResult, config: StudyConfig) -> Markup:
    settings = config.settings
    first, folds = settings.objectives[0], settings.finalists.cross_validation
    others = "on other folds" if folds else "with other seeds"
    heads = [Column("trial"), Column("own value", number=True), Column(f"mean {others}", number=True)]
    heads += [Column("lowest", number=True), Column("highest", number=True), Column("candidate")]
    rows: list[list[str | Cell]] = []
    for finalist in finalists(results, first):
        values = [epoch[first] for epoch in finalist.finals]
        figures = [figure_cell(first, value) for value in (finalist.decisive(first), min(values), max(values))]
        cells = ["diverged"] * len(figures) if finalist.diverged else figures
        words = Cell(in_words(finalist.candidate), kind="words")
        rows.append([number_cell(finalist, best), figure_cell(first, finalist.objective(first)), *cells, words])
    caption = f"Finalists, best mean first: {label(first)} of the trial itself, and {others}"
    return render(
        _TEMPLATES / "finalists.html",
        finalists=table(caption, heads, rows),
        sentences=list(finalists_in_words(results, best, settings, config.words)),
        folds=folds,
        samples=config.words.many,
    )


def _history(name: str, config: StudyConfig, pictures: Mapping[str, Markup], relative_root: str) -> Markup:
    shown = [each for each in ("optimization_history", "training_effort", "wall_time") if each in pictures]
    return render(
        _TEMPLATES / "history.html",
        figures=_figures(config, pictures, relative_root, *shown),
        timed="wall_time" in pictures,
        study=name,
    )


def _figures(config: StudyConfig, pictures: Mapping[str, Markup], relative_root: str, *names: str) -> Markup:
    parts = []
    for name in names:
        text, interactive = _CAPTIONS[name]
        drawn = NOTHING not in pictures[name]
        caption = (
            text.format(objective=label(config.settings.objectives[0]), samples=config.words.many) if drawn else ""
        )
        link = Markup(' <a href="{}{}.html">Interactive plot</a>').format(relative_root, name)
        parts.append(framed(pictures[name], name.replace("_", " "), caption, link if interactive and drawn else ""))
    return Markup().join(parts)


def _pareto(
    results: Sequence[TrialResult], config: StudyConfig, pictures: Mapping[str, Markup], relative_root: str
) -> Markup:
    settings = config.settings
    best = best_of(results, settings)
    front = pareto_front(results, settings.objectives)
    heads = [Column("trial"), *objective_columns(config), Column("candidate")]
    rows: list[list[str | Cell]] = [
        [number_cell(result, best), *objective_cells(result, settings), Cell(in_words(result.candidate), kind="words")]
        for result in front
    ]
    return _figures(config, pictures, relative_root, "pareto_front") + table(
        "Trials on the Pareto front", heads, rows, sorted_by=0
    )


def _failures(results: Sequence[TrialResult]) -> Markup:
    rows: list[list[str | Cell]] = []
    for result in of_state(results, "failed"):
        what, _, detail = result.reason.partition(": ")
        rows.append([Cell(str(result.number), result.number), what.replace("_", " "), Cell(detail, kind="words")])
    if not rows:
        return Markup("<p>No trial failed.</p>")
    return table("Failed trials", [Column("trial"), Column("class"), Column("message")], rows, sorted_by=0)


def _infeasible(results: Sequence[TrialResult]) -> Markup:
    """Return a table of how often each rule was violated. A candidate can violate several rules."""
    counts: Counter[str] = Counter()
    examples: dict[str, TrialResult] = {}
    for result in of_state(results, "infeasible"):
        for rule in dict.fromkeys(re.findall(r"search\.budget\.max_\w+", result.reason)) or [_NEVER_FITS]:
            counts[rule] += 1
            examples.setdefault(rule, result)
    if not counts:
        return Markup("<p>All candidates fit their input and the budget.</p>")
    rows: list[list[str | Cell]] = [
        [rule, str(count), Cell(f"trial {examples[rule].number}: {examples[rule].reason}", kind="words")]
        for rule, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    heads = [Column("violated rule"), Column("candidates", number=True), Column("first example")]
    return table("Rules violated by candidates that were not trained", heads, rows)


def best_first(results: Sequence[TrialResult], settings: SearchParams) -> list[TrialResult]:
    """Sort all trials: the fully trained ones by the first objective, then the others by state and trained epochs."""
    objective = settings.objectives[0]
    sign = -1.0 if direction(objective) == "maximize" else 1.0

    def key(result: TrialResult) -> tuple[int, int, float, int]:
        value = value_of(result, objective)
        whole = len(result.history) == settings.epochs and result.state in ("complete", "reused")
        place = 0 if whole else 1 + STATES.index(result.state) if result.state in STATES else len(STATES) + 1
        ranked = 0.0 if value is None else sign * value
        return place, 0 if whole else -len(result.history), ranked, result.number

    return sorted(results, key=key)


def _trials(name: str, results: Sequence[TrialResult], config: StudyConfig, runs: Mapping[str, str] | None) -> Markup:
    settings = config.settings
    best = best_of(results, settings)
    costs = [name for name in ("params", "macs") if name not in settings.objectives]
    reasons = any(result.reason and result.state != "pruned" for result in results)
    heads = [
        Column("trial", number=True),
        Column("state"),
        *objective_columns(config),
        *(Column(label(name, config.words), number=True) for name in costs),
        *(Column("epochs", number=True), Column("candidate"), *([Column("reason")] if reasons else [])),
    ]
    rows: list[list[str | Cell]] = [
        [
            number_cell(result, best, (runs or {}).get(str(result.number), "")),
            Cell(result.state, kind=result.state),
            *objective_cells(result, settings),
            *(figure_cell(name, result.cost.get(name)) for name in costs),
            Cell(str(len(result.history)), len(result.history)),
            Cell(in_words(result.candidate), kind="words"),
            *([Cell("" if result.state == "pruned" else result.reason, kind="words")] if reasons else []),
        ]
        for result in best_first(results, settings)
    ]
    return render(
        _TEMPLATES / "trials.html",
        trials=table("All trials, best first", heads, rows, sortable=True),
        study=name,
        linked=bool(runs),
    )
