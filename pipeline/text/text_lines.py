"""Read the lines of a text file one by one."""

from collections.abc import Iterator
from io import TextIOWrapper
from typing import BinaryIO, TextIO

from pipeline.errors import UnreadableError


def utf8_text(file: BinaryIO) -> TextIOWrapper:
    """Open the text of a file for `text_lines`, which reports bytes that are not UTF-8."""
    return TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")


def text_lines(text: TextIO, name: str, what: str, max_characters: int, remedy: str) -> Iterator[tuple[int, str]]:
    """Return the lines that are not blank, each with its number from 1, without the line break.

    Args:
        text: The text, from `utf8_text`.
        name: Name of the file in messages.
        what: What the file must be, such as `a CSV file`.
        max_characters: Number of characters above which a line is refused.
        remedy: What to do about such a line.

    Raises:
        UnreadableError: A line is not UTF-8, or is too long.
    """
    number = 0
    while line := text.readline(max_characters + 1):
        number += 1
        if not line.isascii():
            _require_unicode(line, number, name, what)
        if len(line) > max_characters:
            raise UnreadableError(
                f"{name}: lines must have at most {max_characters:,} characters, got more in line {number}; {remedy}"
            )
        if line.strip():
            yield number, line.rstrip("\n")


def _require_unicode(line: str, number: int, name: str, what: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        raise UnreadableError(
            f"{name}: must be {what} in UTF-8, got other bytes in line {number}, at character {error.start + 1}; "
            "convert it"
        ) from None
