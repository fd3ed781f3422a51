"""Tables in HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from pipeline.pages.templates import render


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes:
        title: what it says.
        number: whether its cells are numbers, to be aligned at the right.
        first: the order that sorting by it begins with.
    """

    title: str
    number: bool = False
    first: Literal["ascending", "descending"] = "ascending"


@dataclass(frozen=True)
class Cell:
    """A cell that is not sorted by its text, or that is marked.

    Attributes:
        text: what it shows.
        value: what it is sorted by; None: the text.
        kind: the class of its mark; empty: none.
        link: address that it leads to; empty: none.
    """

    text: str
    value: float | None = None
    kind: str = ""
    link: str = ""


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | Cell]],
    sums: Sequence[str] = (),
    sorted_by: int | None = None,
    sortable: bool = False,
) -> Markup:
    """A table in a box of its own, in which it scrolls if it is wider than the page or long.

    Args:
        caption: what it shows.
        columns: their heads.
        rows: their cells; the first of each names the row.
        sums: the cells of a last row; empty: none.
        sorted_by: the column by which the rows are in ascending order, and the reader may sort; None: there is none.
        sortable: whether the reader may sort rows that are in an order of their own.
    """
    sortable = sortable or sorted_by is not None
    stacked = any(isinstance(cell, Cell) and cell.kind == "words" for row in rows for cell in row)
    return render(
        Path(__file__).with_name("templates") / "table.html",
        caption=caption,
        classes=" ".join(["sortable"] * sortable + ["stacked"] * stacked),
        columns=columns,
        rows=[_cells(columns, row) for row in rows],
        sums=_cells(columns, sums) if sums else None,
        sortable=sortable,
        sorted_by=sorted_by,
        stacked=stacked,
    )


def _cells(columns: Sequence[Column], row: Sequence[str | Cell]) -> list[tuple[Column, Cell]]:
    return [(column, cell if isinstance(cell, Cell) else Cell(cell)) for column, cell in zip(columns, row, strict=True)]
