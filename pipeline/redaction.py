"""Replace secrets in text: credentials in addresses, and the values of environment variables."""

import os
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

_HIDDEN = "***"
_USER = re.compile(r"(\w://)[^\s/?#'\"<>]*@")
# A password with characters that must be escaped in addresses. It does not begin like a port or the end of a sentence.
_UNESCAPED = re.compile(
    r"(\w://)[^\s/?#'\"<>:@\[]*:(?!\s|\d{1,5}(?![-\w]))(?:(?!://)[^'\"<>\n]){1,200}?@(?:[^\s/?#'\"<>]*@)?"
)
_OPTION = re.compile(
    r"([?&;](?:sig|key|auth|code|[^\s=&?#]{0,50}(?:password|passwd|secret|token|signature|credential|(?:api|access|account|private)"
    r"[-_]?key)[^\s=&?#]{0,50})=)[^\s&#'\"<>]+",
    re.IGNORECASE,
)
# As in connection strings and dictionaries: password=… host=…, AccountKey=…;, {'password': '…'}
_ASSIGNED = re.compile(
    r"(\b(?:PG|ssl)?(?:password|passwd|passphrase|pwd|(?:shared)?(?:account|access)key)(?:\s*=\s*|['\"]\s*:\s*(?=['\"])))"
    r"(?!/)('[^'\n]{6,}'|\"[^\"\n]{6,}\"|[^\s'\";,&]{6,})",
    re.IGNORECASE,
)
_VARIABLE = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL|AUTHORIZATION|CONNECTION_?STRING|WEBHOOK"
    r"|SSHPASS|_(?:KEY|PWD|PASS)$",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"CONNECTION_?STRING|WEBHOOK", re.IGNORECASE)  # variables whose address is a secret as a whole
_SCHEME = re.compile(r"(?:basic|bearer|token)\s+", re.IGNORECASE)
_MIN_LENGTH = 6  # shorter values are words such as `true`, which would be removed everywhere


def redact(text: str) -> str:
    """Replace secrets by `***`.

    These are users and passwords in addresses, options of addresses such as `?token=…`, passwords in connection strings
    such as `password=…`, the values of environment variables such as AWS_SECRET_ACCESS_KEY and HF_TOKEN, and the
    passwords in addresses that are values of environment variables, such as MLFLOW_TRACKING_URI.
    """
    text = redact_addresses(text)
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    return _ASSIGNED.sub(rf"\1{_HIDDEN}", text)


def redact_addresses(text: str) -> str:
    """Replace users, passwords and secret options in addresses by `***`."""
    if "://" not in text:
        return text
    for pattern in (_UNESCAPED, _USER):
        text = pattern.sub(rf"\1{_HIDDEN}@", text)
    return _OPTION.sub(rf"\1{_HIDDEN}", text)


def _secrets() -> Iterator[str]:
    """Yield the secrets in the environment, in each form that addresses have."""
    for name, value in os.environ.items():
        if "://" in value:
            yield from _in_address(value)
        if not _VARIABLE.search(name) or ("://" in value and not _WHOLE.search(name)):
            continue
        for secret in (value, _SCHEME.sub("", value), *(found[1].strip("'\"") for found in _ASSIGNED.findall(value))):
            if len(secret) >= _MIN_LENGTH and not os.path.isabs(secret):
                yield from _forms(secret)


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
