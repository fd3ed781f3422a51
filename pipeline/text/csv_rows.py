"""Read the rows of a CSV file in blocks, so that few fields are in memory as text."""

import csv
from collections.abc import Iterator
from io import BytesIO
from itertools import chain

from pipeline.errors import UnreadableError
from pipeline.text.text_lines import text_lines, utf8_text

_SEPARATORS = "\t;,"
_MAX_CHARACTERS = 2**20  # of a line
_BLOCK = 2**16  # fields that are in memory as text


class CsvRows:
    """The rows of a CSV file, each of one line, in blocks of bounded size.

    Columns are separated by tabs, semicolons, commas or spaces, whichever is most frequent in the first line.

    Args:
        content: Content of the file.
        name: Name of the file in messages.

    Attributes:
        first: Fields of the first row.

    Raises:
        UnreadableError: There are no rows, a row cannot be read, or it has another number of fields than the first.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._name = name
        self._number = 0  # of the line that was read last
        remedy = "write a time step per line, or split the file"
        self._lines = text_lines(utf8_text(BytesIO(content)), name, "a CSV file", _MAX_CHARACTERS, remedy)
        start = next(self._lines, None)
        if start is None:
            raise UnreadableError(f"{name}: must contain rows of numbers, got only empty lines")
        separator = max(_SEPARATORS, key=start[1].count)
        separator = separator if separator in start[1] else " "
        self._blank = " " if separator == "\t" else None  # a tab at an end of a line separates an empty field
        self._reader = csv.reader(self._fed(start), delimiter=separator, skipinitialspace=True)
        self.first = [field.strip() for field in self._next() or []]
        self._first_number = self._number

    def blocks(self, with_first: bool) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Return numbers of lines and their fields, block by block; all rows have as many fields as the first."""
        size = max(1, _BLOCK // len(self.first))
        numbers, rows = ([self._first_number], [self.first]) if with_first else ([], [])
        while row := self._next():
            if len(row) != len(self.first):
                raise UnreadableError(
                    f"{self._name}: all lines must have {len(self.first)} fields, got {len(row)} in line "
                    f"{self._number}; repair the file"
                )
            numbers.append(self._number)
            rows.append(row)
            if len(rows) >= size:
                yield numbers, rows
                numbers, rows = [], []
        if rows:
            yield numbers, rows

    def _fed(self, start: tuple[int, str]) -> Iterator[str]:
        for number, line in chain([start], self._lines):
            self._number = number
            yield line.strip(self._blank)

    def _next(self) -> list[str] | None:
        """Fields of the next row; None: there is none."""
        before = self._reader.line_num
        try:
            row = next(self._reader, None)
        except csv.Error as error:
            raise UnreadableError(f"{self._name}: line {self._number} cannot be read: {error}; repair it") from None
        if row is not None and self._reader.line_num - before > 1:
            raise UnreadableError(
                f"{self._name}: fields must not contain line breaks, got one that ends in line {self._number}; remove "
                "the quotes"
            )
        return row
