"""Tables in HTML; every text is escaped here."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal


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
) -> str:
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
    heads = "".join(_head(column, sortable, place == sorted_by) for place, column in enumerate(columns))
    lines = "\n".join(_row(columns, row, stacked) for row in rows)
    foot = f"<tfoot>{_row(columns, sums)}</tfoot>" if sums else ""
    classes = " ".join(["sortable"] * sortable + ["stacked"] * stacked)
    kind, box = f' class="{classes}"' if classes else "", "scroll tall" if sortable else "scroll"
    return (
        f'<div class="{box}" role="region" tabindex="0" aria-label="{escape(caption)}">\n'
        f"<table{kind}><caption>{escape(caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{lines}\n</tbody>{foot}</table></div>"
    )


def _head(column: Column, sortable: bool, ascending: bool) -> str:
    kind = ' class="number"' if column.number else ""
    if not sortable:
        return f'<th scope="col"{kind}>{escape(column.title)}</th>'
    order = ' aria-sort="ascending"' if ascending else ""
    return (
        f'<th scope="col"{kind}{order} data-first="{column.first}">'
        f'<button type="button">{escape(column.title)}</button></th>'
    )


def _row(columns: Sequence[Column], row: Sequence[str | Cell], stacked: bool = False) -> str:
    """A row; on a narrow screen that of a stacked table has its cells below each other, each with its label."""
    cells = []
    for place, (column, content) in enumerate(zip(columns, row, strict=True)):
        cell = content if isinstance(content, Cell) else Cell(content)
        kinds = " ".join(kind for kind in ("number" if column.number else "", cell.kind) if kind)
        attributes = f' class="{escape(kinds)}"' if kinds else ""
        attributes += f' data-label="{escape(column.title)}"' if stacked and place else ""
        attributes += "" if cell.value is None else f' data-value="{cell.value!r}"'
        tag = 'th scope="row"' if place == 0 else "td"
        text = escape(cell.text)
        shown = f'<a href="{escape(cell.link)}">{text}</a>' if cell.link else text
        cells.append(f"<{tag}{attributes}>{shown}</{tag[:2]}>")
    return f"<tr>{''.join(cells)}</tr>"
