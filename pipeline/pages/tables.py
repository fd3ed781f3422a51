"""Render HTML tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from pipeline.pages.templates import render


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Text of the header cell.
        number: Whether the cells are numbers, which are aligned right.
        first: Sort order after the first click on the header.
    """

    title: str
    number: bool = False
    first: Literal["ascending", "descending"] = "ascending"


@dataclass(frozen=True)
class Cell:
    """A cell with a sort key, a CSS class or a link.

    Attributes:
        text: Text of the cell.
        value: Sort key; None: the text is the sort key.
        kind: CSS class of the cell; empty: no class.
        link: Target address; empty: no link.
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
    """Render a table. If it is long or wider than the page, it scrolls in its own box.

    Args:
        caption: Caption of the table.
        columns: Columns.
        rows: Cells of each row; the first cell of a row is its header.
        sums: Cells of a footer row; empty: no footer.
        sorted_by: Index of the column by which the rows are sorted, ascending; makes the table sortable. None: the rows
            are not sorted by a column.
        sortable: Whether the reader can sort a table whose rows are not sorted by a column.
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
