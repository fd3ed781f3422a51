"""Errors that the user can fix, and parts of their messages."""

import re
from collections.abc import Sequence

from pipeline.redaction import redact

_SHOWN, _LISTED = 10, 20  # items of a list in a message: in one line, and a line for each
_MAX_MESSAGE = 1000  # maximum number of characters of a library's message
_STATEMENT = ("[SQL:", "[parameters:", "(Background on this error")
_FOR_DEVELOPERS = (
    "For further information visit", 'File "', "Traceback (most recent call last)", "Graph execution error:",
    "Detected at node", "Hint: If you want to see a list of allocated tensors",
)  # fmt: skip
# Names of operations in TensorFlow's errors
_OPERATION = re.compile(r"\{\{function_node [^}]*\}\}|\[\[\{\{node [^}]*\}\}\]\]|\[Op:[^\]]*\]( name:)?")


class UserError(Exception):
    """An error that the user can fix. The message states the place, the rule, the value received and the remedy."""


class UnreadableError(UserError):
    """A file cannot be read as what it must be. The message names the file and the reason."""


def message_of(error: BaseException) -> str:
    """Return the message of a library's error on one line, without the details for the library's developers.

    SQL statements and their parameters, links to manuals, traces, names of operations and secrets are omitted.
    """
    if isinstance(error, KeyError) and str(error.args and error.args[0]).isidentifier():
        return f"{error} is missing"
    kept: list[str] = []
    for line in str(error).splitlines():
        text = " ".join(_OPERATION.sub(" ", line).split())
        if text.startswith(_STATEMENT):
            break
        if text and not text.startswith(_FOR_DEVELOPERS):
            kept.append(text)
    whole = redact(" ".join(kept)) or type(error).__name__
    return whole if len(whole) <= _MAX_MESSAGE else f"{whole[:_MAX_MESSAGE]}…"


def plural(count: int, noun: str) -> str:
    """Return a noun in the singular if the count is 1, and otherwise with an s."""
    return noun if count == 1 else f"{noun}s"


def shown_first(items: Sequence[str], separator: str = ", ") -> str:
    """Join the first ten items, and append how many more there are."""
    more = f" (and {len(items) - _SHOWN} more)" if len(items) > _SHOWN else ""
    return separator.join(items[:_SHOWN]) + more


def listed_first(items: Sequence[str]) -> str:
    """Return the first twenty items on indented lines of their own, and how many more there are."""
    more = [f"and {len(items) - _LISTED:,} more"] if len(items) > _LISTED else []
    return "\n".join(f"  {each}" for each in [*items[:_LISTED], *more])
