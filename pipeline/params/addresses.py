"""Redact credentials in the addresses of databases and servers."""

import re
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit


def hide_password(address: str) -> str:
    """Redact user, password and options in an address, however malformed."""
    hidden = re.sub(r"\?.*", "?***", re.sub(r"(:/*).*@", r"\1***@", address))
    return re.sub(r"(://[^/@]*:)(?!\d*(?:/|\?|$))[^/@]*", r"\1***", hidden)  # not a port: a password without a host


def hide_password_in(text: str, address: str) -> str:
    """Redact an address and its password in a message."""
    text = text.replace(address, hide_password(address))
    try:
        parts = urlsplit(address)
    except ValueError:
        return text
    secrets = [parts.password, *(value for key, value in parse_qsl(parts.query) if "password" in key.lower())]
    for secret in filter(None, secrets):
        plain = unquote(secret)
        for form in (secret, plain, quote(plain), quote_plus(plain)):
            text = text.replace(form, "***")
    return text


def has_password(address: str) -> bool:
    """Whether an address contains a password, before the host or as an option."""
    _, _, rest = address.partition("://")
    user, at, _ = rest.rpartition("@")
    if address.startswith("sqlite"):
        return False
    return "password=" in address.lower() or (bool(at) and ":" in user)


def without_credentials(address: str) -> str:
    """Remove user and password from the address of a server."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
