"""Requests to the served model that are no inputs of a network."""

import asyncio
import base64
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.registry.request_limits import MAX_BYTES, Application, LimitedApplication
from tests.pipeline.registration import Workspace
from tests.ports import free_port

JSON = "application/json"


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer the request of which it was asked: with the size of the body, or with an error like MLflow's."""
    size = len((await receive())["body"])
    error = scope["path"] == "/error"
    body = {"error_code": "BAD_REQUEST", "message": "no table", "stack_trace": "Traceback (most recent call last)"}
    await send({"type": "http.response.start", "status": 400 if error else 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(body if error else size).encode()})


def ask(*parts: bytes, **more: Any) -> tuple[int, Any]:
    """Status and body of the response to a request that arrives in parts."""
    return asyncio.run(request(limited(echo, max_bytes=100_000), *parts, **more))


def limited(app: Application, shape: tuple[int, ...] = (4, 4, 1), max_bytes: int = MAX_BYTES) -> LimitedApplication:
    return LimitedApplication(app, shape, max_bytes, seconds=0.1)


async def request(
    app: Application, *parts: bytes, kind: str = JSON, path: str = "/", declared: str = "", stalls: bool = False
) -> tuple[int, Any]:
    """Status and body of an application's response to a request that arrives in parts."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = stalls
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", kind.encode()), (b"content-length", declared.encode())]
    await app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_requests_beyond_the_limits_are_refused() -> None:
    """The served model refuses requests that are too large, too slow, nested too deeply, or not JSON.

    Bodies with and without a declared size, one that never ends, deep nesting, long numbers, and other content types.
    """
    assert ask(b'{"inputs": ', b"[1]}") == (200, 15)
    assert ask(b"x", declared="100001")[0] == ask(b"x", declared="9" * 5000)[0] == 413
    assert ask(*[b"[" + b" " * 50_000] * 3)[0] == 413
    assert ask(b"[", stalls=True)[0] == 408
    assert ask(b"[" * 90_000) == (
        400,
        {"error_code": "BAD_REQUEST", "message": "the JSON must not be nested so deeply"},
    )
    for content in (b"9" * 5000, b"\xff", b"", b"{", b'{"inputs": [1,]}'):
        status, answer = ask(content)
        assert (status, "must be valid JSON" in answer["message"]) == (400, True)
    for kind in ("", "text/csv", "application/vnd.apache.parquet", "x" * 10_000):
        assert ask(b"{}", kind=kind)[0] == 415


NUMBERS = b",".join(b"%d" % number for number in range(2000))
TABLES = [  # of which pandas makes many columns
    b'{"dataframe_split": {"columns": [%s], "data": []}}' % NUMBERS,
    b'{"dataframe_split": {"columns": [[%s]], "data": []}}' % NUMBERS,
    b'{"dataframe_split": {"data": [[%s]]}}' % NUMBERS,
    b'{"dataframe_split": {"data": {"a": 1, "b": 2}, "index": [%s]}}' % NUMBERS,
    b'{"dataframe_split": {"data": [[1]], "index": [[%s]]}}' % NUMBERS,
    b'{"dataframe_records": [[%s]]}' % NUMBERS,
    b'{"dataframe_records": [{"a": 1}, {"b": 2}]}',
    b'{"dataframe_records": [{"a": 1}, [["b", 2]]]}',
    b'{"dataframe_records": 3}',
]


def test_requests_of_too_many_parts_are_refused_before_they_take_time() -> None:
    """The served model refuses at once what takes long: a million small lists, keys or columns, or too many files.

    Bodies of up to 4 MB, some of which would take minutes and gigabytes. One input of a large network may have many
    values.
    """
    app = limited(echo)
    for body in (b"[],", b'{"a":0},', b'"",', b"0,"):
        assert asyncio.run(request(app, b'{"inputs":[' + body * (4_000_000 // len(body))))[0] == 413
    for body in TABLES:
        status, answer = asyncio.run(request(app, body))
        assert (status, "exactly one column" in answer["message"]) == (400, True), body[:60]
    for body in (
        b'{"dataframe_split": {"columns": ["image"], "index": [0, 1], "data": [["AA"], ["AA"]]}}',
        b'{"dataframe_records": [{"image": "AA"}, {"image": "AA"}]}',
        b'{"inputs": [%s]}' % b",".join([b'{"b64": "AA"}'] * 1000),
    ):
        assert asyncio.run(request(app, body)) == (200, len(body))
    large = json.dumps({"inputs": np.zeros((1, 520, 520, 1), int).tolist()}).encode()
    assert asyncio.run(request(app, large))[0] == 413
    assert asyncio.run(request(limited(echo, (520, 520, 1)), large)) == (200, len(large))


def test_idle_and_many_connections_block_no_one() -> None:
    """Connections that send nothing, or that send too much together, are refused and block no other.

    Sends 50 incomplete requests; requests while others take for ever; and bodies of 16 MB that together exceed 256 MB.
    """

    async def sleeping(*_: Any) -> None:
        await asyncio.sleep(3600)

    async def attack() -> None:
        app = limited(echo)
        idle = [asyncio.create_task(request(app, b"", stalls=True)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await request(app, b"{}") == (200, 2)
        assert not any(task.done() for task in idle)
        assert {status for status, _ in await asyncio.gather(*idle)} == {408}

        app = limited(sleeping)
        endless = [asyncio.create_task(request(app, b"{}")) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert (await request(app, b"{}"))[0] == 503
        for task in endless:
            task.cancel()

        app, part = limited(echo), bytes(15 * 2**20)
        large = [asyncio.create_task(request(app, part, stalls=True)) for _ in range(20)]
        assert {status for status, _ in await asyncio.gather(*large)} == {408, 503}
        assert await request(app, b"{}") == (200, 2)

    asyncio.run(attack())


def test_responses_contain_no_traces() -> None:
    """Responses about invalid requests contain the reason and no traceback.

    MLflow's application answers with a stack trace.
    """
    assert ask(b"{}", path="/error") == (400, {"error_code": "BAD_REQUEST", "message": "no table"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The server of `fovea serve` with a registered network: its port and its process."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        shutil.copy(empty_database, folder / "mlflow.db")
        workspace = Workspace(folder)
        workspace.network(bias=0.0)
        workspace.register()
    port = free_port()
    command = ["-m", "pipeline.registry.model_server", "--model-uri", "models:/tiny@champion", "--host", "127.0.0.1"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONWARNINGS": "ignore"},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        for _ in range(300):
            try:
                if send(port, b"", "", "/ping")[0]:
                    break
            except OSError:
                time.sleep(0.2)
        yield port, psutil.Process(process.pid)
        process.kill()


def send(port: int, body: bytes, kind: str, path: str = "/invocations") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST" if body or kind else "GET", path, body, {"Content-Type": kind})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def picture(size: tuple[int, int]) -> str:
    stream = io.BytesIO()
    Image.new("1", size).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


FILES = st.sampled_from([picture((4, 4)), picture((30_000, 30_000)), "/etc/passwd", "file:///etc/passwd", "data:,"])
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), FILES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
IMAGE = st.just(np.zeros((1, 4, 4, 1)).tolist())
KEYS = ["inputs", "instances", "dataframe_split", "dataframe_records", "params", "messages", "prompt", "input", "image"]
OBJECTS = st.dictionaries(st.sampled_from(KEYS), VALUES | IMAGE, max_size=3).map(
    lambda value: json.dumps(value).encode()
)
BODIES = st.one_of(
    OBJECTS,
    OBJECTS,
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [b"[" * 100_000, b'{"inputs":' + b"[" * 900 + b"]" * 900 + b"}", b'{"inputs":[' + b"9" * 5000 + b"]}"]
    ),
    st.sampled_from([b'{"inputs":[' + b"1," * 200_000 + b"1]}", b'{"inputs":["' + b"A" * 1_000_000 + b'"]}']),
)
KINDS = st.sampled_from(
    [JSON] * 8 + ["text/csv", "application/vnd.apache.parquet", f"{JSON}; charset=utf-16", f"{JSON}; x", ";;;", "a/b"]
)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports
def test_no_request_stops_the_served_model(server: tuple[int, psutil.Process]) -> None:
    """Whatever is sent to the served model, it answers within seconds with 200 or the reason, and goes on.

    2,000 seeded requests to the server of `fovea serve`: invalid, deeply nested and large JSON, images that expand to
    900 million pixels, names of files, other content types. Then the largest bodies and tables, eight at once, and 50
    connections that send nothing. Its memory grows by less than 500 MB.
    """
    port, process = server
    image = json.dumps({"inputs": np.zeros((1, 4, 4, 1)).tolist()}).encode()
    assert send(port, image, JSON)[0] == 200
    before = process.memory_info().rss

    @settings(
        max_examples=2000,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(BODIES, KINDS)
    def attack(body: bytes, kind: str) -> None:
        started = time.monotonic()
        status, answer = send(port, body, kind)
        assert status == 200 or 400 <= status < 500, (status, answer[:300], body[:300], kind)
        assert b"Traceback" not in answer
        assert b"root:" not in answer
        assert len(answer) < 100_000
        assert time.monotonic() - started < 10.0

    attack()
    for body in (*TABLES, *(b'{"inputs":[' + part * (5_000_000 // len(part)) for part in (b"[],", b'{"a":0},', b"0,"))):
        started = time.monotonic()
        assert send(port, body, JSON)[0] in (400, 413)
        assert time.monotonic() - started < 2.0
    for body in (b'{"inputs":[' + b"[]," * 240_000 + b"[]]}", b'{"inputs":["' + b"A" * 16_000_000 + b'"]}'):
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(send, port, body, JSON) for _ in range(8)]
            assert {answer.result()[0] for answer in answers} <= {400, 503}
    start = (
        b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
    )
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for connection in idle:
        connection.sendall(start)
    started = time.monotonic()
    assert send(port, image, JSON)[0] == 200
    assert time.monotonic() - started < 2.0
    assert idle[0].recv(12) == b"HTTP/1.1 408"
    for connection in idle:
        connection.close()
    assert process.memory_info().rss - before < 500e6
