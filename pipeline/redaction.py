"""Replace secrets in text: credentials in addresses, and the values of environment variables."""

import os
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

_HIDDEN = "***"
_USER = re.compile(r"(\w://)[^\s/?#'\"<>]*@")
_OPTION = re.compile(
    r"([?&;](?:sig|key|[^\s=&?#]{0,50}(?:password|passwd|secret|token|signature|credential|(?:api|access|account|private)"
    r"[-_]?key)[^\s=&?#]{0,50})=)[^\s&#'\"<>]+",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
_MIN_LENGTH = 6  # shorter values are words such as `true`, which would be removed everywhere


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
