"""Cells and columns of tables of trials."""

from pipeline.pages.tables import Cell, Column
from pipeline.params import SearchParams
from search.plots.style import label, value_of, written
from search.study.config import StudyConfig
from search.study.results import TrialResult, direction


def number_cell(result: TrialResult, best: TrialResult | None, link: str = "") -> Cell:
    """Return the number of a trial, marked if it is the winner, with a link to its run if there is one."""
    chosen = best is not None and result.number == best.number
    text = f"{result.number} (chosen)" if chosen else str(result.number)
    return Cell(text, result.number, "chosen" if chosen else "", link)


def objective_columns(config: StudyConfig) -> list[Column]:
    """Return a column for each objective."""
    return [
        Column(
            label(name, config.words), number=True, first="descending" if direction(name) == "maximize" else "ascending"
        )
        for name in config.settings.objectives
    ]


def objective_cells(result: TrialResult, settings: SearchParams) -> list[Cell]:
    """Return a trial's value of each objective; empty where it has none."""
    return [figure_cell(name, value_of(result, name)) for name in settings.objectives]


def figure_cell(name: str, value: float | None) -> Cell:
    """Return a value of an objective or a cost; empty if there is none."""
    return Cell("") if value is None else Cell(written(name, value), value)
