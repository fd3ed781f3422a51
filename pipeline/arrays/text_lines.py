"""Read the lines of a text file one by one, so that only its bytes are in memory as a whole."""

from collections.abc import Iterator
from io import BytesIO, TextIOWrapper

from pipeline.errors import UnreadableError


def text_lines(content: bytes, name: str, what: str, max_characters: int) -> Iterator[tuple[int, str]]:
    """Return the lines that are not blank, each with its number from 1, without the line break.

    Args:
        content: Content of the file, in UTF-8.
        name: Name of the file in messages.
        what: What the file must be, such as `a CSV file`.
        max_characters: Number of characters above which a line is refused.

    Raises:
        UnreadableError: The content is not UTF-8, or a line is too long.
    """
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"{name}: must be {what} in UTF-8, got other bytes at position {error.start}; convert it"
        ) from None
    return _lines(content, name, max_characters)


def _lines(content: bytes, name: str, max_characters: int) -> Iterator[tuple[int, str]]:
    number = 0
    with TextIOWrapper(BytesIO(content), encoding="utf-8-sig") as file:
        while line := file.readline(max_characters + 1):
            number += 1
            if len(line) > max_characters:
                raise UnreadableError(
                    f"{name}: lines must have at most {max_characters:,} characters, got more in line {number}; "
                    "write a time step per line, or split the file"
                )
            if line.strip():
                yield number, line.rstrip("\n")
