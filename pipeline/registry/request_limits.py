"""Limit the requests that reach MLflow's application for a model: their size, time, type, structure and number."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from math import prod
from typing import Any

MAX_BYTES = 16 * 2**20  # of a request
_MAX_HELD = 16 * MAX_BYTES  # of all requests that are not answered yet
_MAX_REQUESTS = 2  # that are parsed and answered at the same time; others wait
_MAX_MARKS = 500_000  # brackets and commas of a request: MLflow takes up to 2 µs and 500 bytes for each
_BYTES_OF_A_VALUE = 28  # at most: 24 characters of a float, a pair of brackets, a comma and a space
_MAX_FILES = 1000  # in a request
_MARKS_OF_A_FILE = 12  # at most: two braces, three colons and six quotation marks, as in {"image": {"b64": "…"}}
_TABLES = {"dataframe_split", "dataframe_records"}
_MAX_MESSAGE = 2000  # characters; MLflow repeats the input
_JSON = "application/json"

Application = Callable[..., Awaitable[None]]


class _RefusedError(Exception):
    """A request is refused with a status and a reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class LimitedApplication:
    """An ASGI application that passes on only complete requests of valid, small JSON, and no traces in responses.

    MLflow reads bodies of any size, needs minutes and gigabytes for many small lists, keys or columns, fails with
    status 500 on deep nesting and long numbers, and answers invalid tables with a traceback. It expands Parquet files
    without a limit; neither these nor CSV describe inputs of a network.
    """

    def __init__(
        self, app: Application, input_shape: Sequence[int], max_bytes: int = MAX_BYTES, seconds: float = 10.0
    ) -> None:
        """Limit an application.

        Args:
            app: The application.
            input_shape: Shape of one input of the network. One input may have any size.
            max_bytes: Largest size of a request.
            seconds: Time after which a request must be complete, and then longest time for which it waits for others.
        """
        self._app, self._seconds = app, seconds
        self._max_bytes = max(max_bytes, _BYTES_OF_A_VALUE * prod(input_shape))
        lists = sum(prod(input_shape[:axis]) for axis in range(len(input_shape)))
        self._max_marks = max(_MAX_MARKS, lists + prod(input_shape) + 100)
        self._slots = asyncio.Semaphore(_MAX_REQUESTS)
        self._held = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request. Only complete requests take one of the slots, and only until their response is known."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            response = await self._response(scope, receive)
        except _RefusedError as refused:
            await _respond(send, refused.status, str(refused))
        else:
            await _without_traces(response, send)

    async def _response(self, scope: dict[str, Any], receive: Any) -> list[dict[str, Any]]:
        body, response = bytearray(), list[dict[str, Any]]()

        async def collect(message: dict[str, Any]) -> None:
            response.append(message)

        rule = f"a request must be complete within {self._seconds:g} s"
        try:
            async with _within(self._seconds, HTTPStatus.REQUEST_TIMEOUT, rule):
                await self._read(scope, receive, body)
            async with _within(self._seconds, HTTPStatus.SERVICE_UNAVAILABLE, "there are too many requests; try again"):
                await self._slots.acquire()
            try:
                await asyncio.to_thread(_require_json, body, self._max_marks)
                await self._app(scope, _replay(body, receive), collect)
            finally:
                self._slots.release()
        finally:
            self._held -= len(body)
        return response

    async def _read(self, scope: dict[str, Any], receive: Any, body: bytearray) -> None:
        kind = _header(scope, b"content-type")
        if kind.partition(";")[0].strip().lower() != _JSON:
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type must be {_JSON}, got {kind[:100]!r}"
            )
        too_large = _RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request must have at most {self._max_bytes:,} bytes"
        )
        declared = _header(scope, b"content-length")
        if declared.isdigit() and (len(declared) > 15 or int(declared) > self._max_bytes):
            raise too_large
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(HTTPStatus.BAD_REQUEST, "the connection was closed")
            part = message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) + len(part) > self._max_bytes:
                raise too_large
            if self._held + len(part) > _MAX_HELD:
                raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "there are too many requests; try again")
            body += part
            self._held += len(part)


@asynccontextmanager
async def _within(seconds: float, status: HTTPStatus, reason: str) -> AsyncIterator[None]:
    """Refuse the request with a status and a reason if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise _RefusedError(status, reason) from None


def _require_json(body: bytearray, max_marks: int) -> None:
    """Refuse what is no JSON, or what MLflow needs long for. Marks are counted first, as parsing them takes memory."""
    marks, of_files = sum(map(body.count, (b"[", b","))), sum(map(body.count, (b"{", b":", b'"')))
    if marks > max_marks or of_files > _MAX_FILES * _MARKS_OF_A_FILE:
        raise _RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request must have at most {_MAX_FILES:,} files and {max_marks:,} brackets and commas, got {marks:,} "
            "brackets and commas; send several smaller requests",
        )
    try:
        content = json.loads(body)
    except RecursionError:
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "the JSON must not be nested so deeply") from None
    except ValueError as error:
        reason = str(error)[:200]
        raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the request must be valid JSON: {reason}") from None
    if isinstance(content, dict) and not all(_is_column(content[name]) for name in _TABLES & content.keys()):
        raise _RefusedError(
            HTTPStatus.BAD_REQUEST,
            "a table must have exactly one column, the inputs: rows of one value each, a plain index, and one name",
        )


def _is_column(table: Any) -> bool:
    """Return whether a table has one column: pandas expands small ones with many names or rows to billions of cells."""
    if isinstance(table, list):
        names = [name for row in table if isinstance(row, dict) for name in row]
        return len(names) == len(table) and len(set(names)) <= 1
    if not isinstance(table, dict):
        return False
    plain = [table.get("index") or [], columns := table.get("columns") or []]
    if not all(isinstance(part, list) and not any(isinstance(each, list | dict) for each in part) for part in plain):
        return False
    rows = table.get("data")
    return isinstance(rows, list) and len(columns) <= 1 and all(isinstance(row, list) and len(row) == 1 for row in rows)


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _replay(body: bytearray, receive: Any) -> Any:
    """Return a function that receives the body as one message, and then what the client sends."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return messages.pop() if messages else await receive()

    return replay


async def _without_traces(response: list[dict[str, Any]], send: Any) -> None:
    """Send a response; one about an error without a stack trace and with a short message."""
    if response and (status := response[0]["status"]) >= HTTPStatus.BAD_REQUEST:  # none to a closed connection
        content = b"".join(message.get("body", b"") for message in response[1:])
        await _respond(send, HTTPStatus(status), _reason(content))
        return
    for message in response:
        await send(message)


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
