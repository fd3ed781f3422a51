"""Errors that the user can fix, and parts of messages, which contain no secrets."""

import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

_SHOWN, _LISTED = 10, 20  # items of a list in a message: in one line, and a line for each
_MAX_MESSAGE = 1000  # maximum number of characters of a library's message
_STATEMENT = ("[SQL:", "[parameters:", "(Background on this error")
_FOR_DEVELOPERS = ("For further information visit", 'File "', "Traceback (most recent call last)", "Detected at node")
_HIDDEN = "***"
_USER = re.compile(r"(\w://)[^\s/?#'\"<>]*@")
_OPTION = re.compile(
    r"([?&;](?:sig|key|[^\s=&?#]{0,50}(?:password|passwd|secret|token|signature|credential|(?:api|access|account|private)"
    r"[-_]?key)[^\s=&?#]{0,50})=)[^\s&#'\"<>]+",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
_MIN_LENGTH = 6  # shorter values are words such as `true`, which would be removed everywhere


class UserError(Exception):
    """An error that the user can fix. The message states the place, the rule, the value received and the remedy."""


class UnreadableError(UserError):
    """A file cannot be read as what it must be. The message names the file and the reason."""


def message_of(error: BaseException) -> str:
    """Return the message of a library's error on one line, without the details for the library's developers.

    SQL statements and their parameters, links to manuals, traces and secrets are omitted.
    """
    if isinstance(error, KeyError) and str(error.args and error.args[0]).isidentifier():
        return f"{error} is missing"
    kept: list[str] = []
    for line in str(error).splitlines():
        text = " ".join(line.split())
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


def redact(text: str) -> str:
    """Replace secrets by `***`.

    These are users and passwords in addresses, options of addresses such as `?token=…`, the values of environment
    variables such as AWS_SECRET_ACCESS_KEY and HF_TOKEN, and the passwords in addresses that are values of environment
    variables, such as MLFLOW_TRACKING_URI.
    """
    text = redact_addresses(text)
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    return text


def redact_addresses(text: str) -> str:
    """Replace users, passwords and secret options in addresses by `***`."""
    return _OPTION.sub(rf"\1{_HIDDEN}", _USER.sub(rf"\1{_HIDDEN}@", text)) if "://" in text else text


def _secrets() -> Iterator[str]:
    """Yield the secrets in the environment, in each form that addresses have."""
    for name, value in os.environ.items():
        if "://" in value:
            yield from _in_address(value)
        elif _VARIABLE.search(name) and len(value) >= _MIN_LENGTH and not os.path.isabs(value):
            yield from _forms(value)


def _in_address(address: str) -> Iterator[str]:
    try:
        parts = urlsplit(address)
        options = parse_qsl(parts.query)
    except ValueError:
        return
    for secret in (parts.password, *(value for key, value in options if _OPTION.search(f"?{key}=x"))):
        if secret and len(secret) >= _MIN_LENGTH:
            yield from _forms(secret)


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    yield from {secret, plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
