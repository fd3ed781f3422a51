"""Limit the requests that reach MLflow's application for a model: their size, time, type and nesting."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

MAX_BYTES = 32 * 2**20  # of a request; as JSON in memory it takes about ten times as much
_MAX_REQUESTS = 8  # that are read and answered at the same time; others wait
_MAX_MESSAGE = 2000  # characters; MLflow repeats the input
_JSON = "application/json"

Application = Callable[..., Awaitable[None]]


class _RefusedError(Exception):
    """A request is refused with a status and a reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def limited_asgi(app: Application, max_bytes: int = MAX_BYTES, seconds: float = 60.0) -> Application:
    """Return an ASGI application that passes on only complete requests of valid JSON, and no traces in responses.

    MLflow reads bodies of any size, fails with status 500 on deep nesting and long numbers, and answers invalid tables
    with a traceback. It expands Parquet files without a limit; neither these nor CSV describe inputs of a network.

    Args:
        app: The application.
        max_bytes: Largest size of a request.
        seconds: Time after which a request must be complete.
    """
    slots = asyncio.Semaphore(_MAX_REQUESTS)

    async def limited(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        async with slots:
            try:
                async with asyncio.timeout(seconds):
                    body = await _body(scope, receive, max_bytes)
                await asyncio.to_thread(_require_json, scope, body)
            except TimeoutError:
                await _respond(send, HTTPStatus.REQUEST_TIMEOUT, f"a request must be complete within {seconds:g} s")
            except _RefusedError as refused:
                await _respond(send, refused.status, str(refused))
            else:
                await app(scope, _replay(body, receive), _without_traces(send))

    return limited


async def _body(scope: dict[str, Any], receive: Any, max_bytes: int) -> bytes:
    too_large = _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request must have at most {max_bytes:,} bytes")
    declared = _header(scope, b"content-length")
    if declared.isdigit() and (len(declared) > 15 or int(declared) > max_bytes):
        raise too_large
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "the connection was closed")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > max_bytes:
            raise too_large
    return b"".join(parts)


def _require_json(scope: dict[str, Any], body: bytes) -> None:
    kind = _header(scope, b"content-type")
    if kind.partition(";")[0].strip().lower() != _JSON:
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type must be {_JSON}, got {kind[:100]!r}")
    try:
        json.loads(body)
    except RecursionError:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the JSON must not be nested so deeply") from None
    except ValueError as error:
        reason = str(error)[:200]
        raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the request must be valid JSON: {reason}") from None


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _replay(body: bytes, receive: Any) -> Any:
    """Return a function that receives the body as one message, and then what the client sends."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return messages.pop() if messages else await receive()

    return replay


def _without_traces(send: Any) -> Any:
    """Return a function that sends a response; one about an error without a stack trace and with a short message."""
    starts: list[dict[str, Any]] = []
    parts: list[bytes] = []

    async def forward(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
            starts.append(message)
        elif not starts:
            await send(message)
        else:
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await _respond(send, HTTPStatus(starts[0]["status"]), _reason(b"".join(parts)))

    return forward


def _reason(body: bytes) -> str:
    """Return the message of an error in MLflow's JSON, or its text."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("message", "")) if isinstance(found, dict) else text


async def _respond(send: Any, status: HTTPStatus, reason: str) -> None:
    shown = reason if len(reason) <= _MAX_MESSAGE else f"…{reason[-_MAX_MESSAGE:]}"  # MLflow's reason is at the end
    body = json.dumps({"error_code": status.name, "message": shown}).encode()
    headers = [(b"content-type", _JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
