"""Write reports/search/: table, summary metrics, static and interactive plots, and one page with all of them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.files import new_folder, write_file
from pipeline.pages.svg import picture
from pipeline.plots.figure import save_figure
from search.analysis.importance import finished_copy, importances, lacking
from search.analysis.trials_csv import summary, trials_csv
from search.plots.figures import pictures
from search.plots.history import over_wall_time
from search.plots.plotly_pages import write_pages
from search.plots.style import label
from search.report.page import page
from search.study.config import StudyConfig
from search.study.results import TrialResult


def write_reports(
    study: optuna.Study,
    results: Sequence[TrialResult],
    config: StudyConfig,
    folder: Path,
    timed: Path,
    runs: Mapping[str, str] | None = None,
) -> None:
    """Write the report folder and the page with wall times.

    The folder replaces an earlier one only when it is complete. Equal studies produce identical folders.

    Args:
        study: The study. It contains at least the trials of `results`.
        results: The trials to report.
        config: The constants of the study.
        folder: Output folder, such as reports/search.
        timed: Output file for the same page with the history over wall time, which differs between equal studies.
        runs: URL of each trial's MLflow run, by trial number, for the page with wall times. None if unknown.
    """
    settings = config.settings
    reported = finished_copy(study, results, settings.objectives[0])
    found, why_none = importances(reported), lacking(reported)

    def embed(name: str, figure: Figure, png: Path) -> Markup:
        save_figure(figure, png)
        title = f"{name.replace('_', ' ')} of {len(results)} trials, by {label(settings.objectives[0])}"
        return picture(figure, png, name, title)

    with new_folder(folder) as made:
        (made / "trials.csv").write_text(trials_csv(results, config), encoding="utf-8")
        (made / "summary.json").write_text(json.dumps(summary(results, config), indent=2) + "\n", encoding="utf-8")

        embedded = {
            name: embed(name, figure, made / f"{name}.png")
            for name, figure in pictures(results, config, found, why_none).items()
        }
        write_pages(reported, results, config, found, why_none, made)
        lasting = page(study.study_name, results, config, embedded)
        (made / "index.html").write_text(lasting, encoding="utf-8")
    embedded["wall_time"] = embed("wall_time", over_wall_time(results, settings), timed.with_name("wall_time.png"))
    relative_root = Path(os.path.relpath(folder, timed.parent)).as_posix() + "/"
    write_file(timed, page(study.study_name, results, config, embedded, relative_root, runs))
