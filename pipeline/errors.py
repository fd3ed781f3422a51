"""Errors that a user can correct, and what errors of libraries say."""

_LONGEST_MESSAGE = 1000  # characters of a library's error
_STATEMENT = ("[SQL:", "[parameters:", "(Background on this error")
_FOR_DEVELOPERS = ("For further information visit", 'File "', "Traceback (most recent call last)", "Detected at node")


class UserError(Exception):
    """An error that the user can fix. The message states the rule, the value received, the place and the remedy."""


def message_of(error: BaseException) -> str:
    """What a library's error says, on one line: all of its lines but those for the library's own developers.

    The statement and the values of a database's error are left out, and so are addresses of manuals and traces.
    """
    kept: list[str] = []
    for line in str(error).splitlines():
        text = " ".join(line.split())
        if text.startswith(_STATEMENT):
            break
        if text and not text.startswith(_FOR_DEVELOPERS):
            kept.append(text)
    whole = " ".join(kept) or type(error).__name__
    return whole if len(whole) <= _LONGEST_MESSAGE else f"{whole[:_LONGEST_MESSAGE]}…"
