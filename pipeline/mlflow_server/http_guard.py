"""Refuse HTTP requests for foreign hosts, from foreign pages, and without the password.

A page in a user's browser can reach servers on this machine: under a foreign name that resolves to 127.0.0.1 (DNS
rebinding), or by a request from another page. Both are recognized by their headers.
"""

import base64
import binascii
import hmac
import ipaddress
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UserError

VARIABLE = "FOVEA_SERVER_PASSWORD"  # of the environment
USER = "fovea"
_MIN_LENGTH = 12  # of the password
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHALLENGE = ("WWW-Authenticate", f'Basic realm="{USER}"')


@dataclass(frozen=True)
class Guard:
    """What a server requires of requests.

    Attributes:
        hosts: Names and addresses under which the server may be addressed.
        password: Password of the user `fovea`; empty: none is required.
    """

    hosts: frozenset[str]
    password: str

    def refusal(self, host: str, origin: str, authorization: str) -> HTTPStatus | None:
        """Return the status with which a request is refused; None: it is not.

        Args:
            host: Header Host.
            origin: Header Origin, which browsers send for requests from pages; empty: none.
            authorization: Header Authorization; empty: none.
        """
        if _name(f"//{host}") not in self.hosts or (origin and _name(origin) not in self.hosts):
            return HTTPStatus.FORBIDDEN
        if self.password and not self._is_authorized(authorization):
            return HTTPStatus.UNAUTHORIZED
        return None

    def _is_authorized(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, f"{USER}:{self.password}".encode())


def is_loopback(host: str) -> bool:
    """Return whether an address or name is that of the loopback interface."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def guard_for(host: str, allowed_hosts: Sequence[str]) -> Guard:
    """Return the guard of a server that listens on an address.

    Args:
        host: The address.
        allowed_hosts: Names and addresses under which other machines address the server.

    Raises:
        UserError: Other machines can reach the address, and there is no password or there are no allowed hosts.
    """
    hosts = frozenset(name.lower() for name in (*_LOOPBACK, *allowed_hosts))
    if is_loopback(host):
        return Guard(hosts, password="")
    password = os.environ.get(VARIABLE, "")
    if len(password) < _MIN_LENGTH:
        raise UserError(
            f"--host: {host} can be reached from other machines, which requires a password; set {VARIABLE} to one of "
            f"at least {_MIN_LENGTH} characters, or use 127.0.0.1 and an SSH tunnel"
        )
    if not allowed_hosts:
        raise UserError(
            f"--host: {host} requires --allowed-hosts, the names or addresses under which other machines reach it, "
            "separated by commas"
        )
    return Guard(hosts, password)


def guarded_wsgi(app: Callable[..., Iterable[bytes]], guard: Guard) -> Callable[..., Iterable[bytes]]:
    """Return a WSGI application that passes on only the requests that a guard does not refuse."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = (str(environ.get(f"HTTP_{name}", "")) for name in ("HOST", "ORIGIN", "AUTHORIZATION"))
        status = guard.refusal(*headers)
        if status is None:
            return app(environ, start_response)
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain"), _CHALLENGE])
        return [_reason(status)]

    return guarded


def guarded_asgi(app: Callable[..., Awaitable[None]], guard: Guard) -> Callable[..., Awaitable[None]]:
    """Return an ASGI application that passes on only the requests that a guard does not refuse."""

    async def guarded(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        status = guard.refusal(*(given.get(name, "") for name in ("host", "origin", "authorization")))
        if status is None and scope["type"] == "http":
            await app(scope, receive, send)
            return
        status = status or HTTPStatus.FORBIDDEN  # web sockets are not used
        headers = [(b"content-type", b"text/plain"), tuple(part.encode() for part in _CHALLENGE)]
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": _reason(status)})

    return guarded


def _reason(status: HTTPStatus) -> bytes:
    if status is HTTPStatus.UNAUTHORIZED:
        return f"the user {USER} and the password are required\n".encode()
    return b"requests for this host, or from this page, are refused\n"


def _name(address: str) -> str:
    """Return the host of an address in lower case, without the port; empty if there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
