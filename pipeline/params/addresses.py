"""Addresses of databases and servers, as they may be shown."""

import re
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit


def hide_password(address: str) -> str:
    """An address, however malformed, without the user, the password and the options in it."""
    hidden = re.sub(r"\?.*", "?***", re.sub(r"(:/*).*@", r"\1***@", address))
    return re.sub(r"(://[^/@]*:)(?!\d*(?:/|\?|$))[^/@]*", r"\1***", hidden)  # no port: a password without its host


def hide_password_in(text: str, address: str) -> str:
    """A message that may name an address or its password, without either."""
    text = text.replace(address, hide_password(address))
    try:
        parts = urlsplit(address)
    except ValueError:
        return text
    secrets = [parts.password, *(value for key, value in parse_qsl(parts.query) if "password" in key.lower())]
    for secret in filter(None, secrets):
        for form in (secret, unquote(secret), quote_plus(unquote(secret))):
            text = text.replace(form, "***")
    return text


def has_password(address: str) -> bool:
    """Whether an address holds a password, in its place or as an option."""
    _, _, rest = address.partition("://")
    user, at, _ = rest.rpartition("@")
    if address.startswith("sqlite"):
        return False
    return "password=" in address.lower() or (bool(at) and ":" in user)


def without_credentials(address: str) -> str:
    """An address of a server that anybody may open, without user and password."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
