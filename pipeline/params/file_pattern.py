"""The regular expression `data.file_pattern`."""

import re

PARTS = ("label", "group", "split")


def check_pattern(pattern: str) -> str:
    """Check that a pattern is a regular expression with a group `label`, and with no other groups than `PARTS`.

    Raises:
        ValueError: It is not.
    """
    try:
        names = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"must be a regular expression, got {pattern!r}: {error}") from None
    if "label" not in names or not names <= set(PARTS):
        found = ", ".join(sorted(names)) or "none"
        raise ValueError(f"must have the named group (?P<label>…), and may have group and split, got {found}")
    return pattern
