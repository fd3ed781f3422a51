"""Servers that Fovea starts, addressed by strangers."""

import base64
import http.client
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from pipeline.errors import UserError
from pipeline.mlflow_server.connection import prepare_environment
from pipeline.mlflow_server.http_guard import VARIABLE, guard_for, guarded_asgi
from pipeline.registry import serve as model_server
from search import dashboard
from tests.pipeline.mlflow_server.test_ui import start as start_ui
from tests.ports import free_port

SECRET = "correct horse battery staple"
Hosts = tuple[str, tuple[str, ...]]


def status(port: int, path: str, **headers: str) -> int:
    """The status of the response to a request with exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def wait_for(port: int, path: str) -> None:
    while True:
        try:
            status(port, path, Host="127.0.0.1")
            return
        except OSError:
            time.sleep(0.05)


@pytest.fixture(scope="module")
def serve_dashboard(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., int]:
    from optuna.storages import RDBStorage

    storage = f"sqlite:///{tmp_path_factory.mktemp('studies')}/optuna.db"
    RDBStorage(storage)

    def started(*hosts: Any) -> int:
        threading.Thread(target=dashboard.serve, args=(storage, port := free_port(), *hosts), daemon=True).start()
        return port

    return started


@pytest.fixture(scope="module")
def serve_model() -> Iterator[Callable[..., int]]:
    """MLflow's own application for a model, behind the guard as in `fovea serve`."""
    import uvicorn

    with warnings.catch_warnings(action="ignore"):  # about MLflow's own type hints
        from mlflow.pyfunc import scoring_server

    servers: list[tuple[Any, threading.Thread]] = []
    model: Any = SimpleNamespace(metadata=SimpleNamespace(get_input_schema=lambda: None))

    def started(host: str = "127.0.0.1", allowed: tuple[str, ...] = ()) -> int:
        app = guarded_asgi(scoring_server.init(model), guard_for(host, allowed))
        server = uvicorn.Server(uvicorn.Config(app, host=host, port=(port := free_port()), log_level="error"))
        servers.append((server, thread := threading.Thread(target=server.run)))
        thread.start()
        return port

    yield started
    for server, thread in servers:
        server.should_exit = True
        thread.join()


PATHS = {"serve_dashboard": "/dashboard", "serve_model": "/ping"}


@pytest.mark.slow
@pytest.mark.parametrize("server", PATHS)
def test_requests_under_foreign_names_and_from_foreign_pages_are_refused(
    server: str, request: pytest.FixtureRequest
) -> None:
    """No page in a browser reaches the dashboard or the served model on this machine.

    Sends requests with foreign, misleading, several and missing Host headers, and with the Origin of a foreign page.
    """
    port = request.getfixturevalue(server)()
    path = PATHS[server]
    wait_for(port, path)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "LOCALHOST", f"[::1]:{port}"):
        assert status(port, path, Host=host) < 400, host
    assert status(port, path, Host="localhost", Origin=f"http://localhost:{port}") < 400
    for host in ("evil.example", f"127.0.0.1.evil.example:{port}", "evil.example@127.0.0.1.x", "10.0.0.1", "[", ""):
        assert status(port, path, Host=host) in (400, 403), host
    assert status(port, path) in (400, 403)
    for origin in ("http://evil.example", "null", "http://localhost.evil.example"):
        assert status(port, path, Host="localhost", Origin=origin) == 403, origin


@pytest.mark.slow
@pytest.mark.parametrize("server", PATHS)
def test_a_server_for_other_machines_requires_the_password(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an address that other machines can reach, the dashboard and the served model require a password.

    Listens on all addresses; sends requests without, with a wrong and with the right password, and for other hosts.
    """
    monkeypatch.setenv(VARIABLE, SECRET)
    port = request.getfixturevalue(server)("0.0.0.0", ("gpu.example",))
    path = PATHS[server]
    wait_for(port, path)

    def basic(text: str) -> str:
        return f"Basic {base64.b64encode(text.encode()).decode()}"

    for wrong in ("", "Basic", "Basic ?", basic("fovea:"), basic(f"root:{SECRET}"), f"Bearer {SECRET}", SECRET):
        assert status(port, path, Host="gpu.example", Authorization=wrong) == 401, wrong
    assert status(port, path, Host="gpu.example", Authorization=basic(f"fovea:{SECRET}")) < 400
    assert status(port, path, Host="evil.example", Authorization=basic(f"fovea:{SECRET}")) == 403


@pytest.mark.parametrize("password", [None, "short"])
def test_a_server_for_other_machines_does_not_start_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    """No server that other machines can reach starts without a password, or without the names that are allowed.

    Starts the dashboard and the served model on all addresses, without a password, with a short one, and without names.
    """
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "optuna.db").touch()
    attempts: list[Callable[[tuple[str, ...]], object]] = [
        lambda names: dashboard.serve(f"sqlite:///{tmp_path}/optuna.db", free_port(), "0.0.0.0", names),
        lambda names: model_server.serve("fovea", tmp_path, free_port(), "0.0.0.0", names),
    ]
    if password is not None:
        monkeypatch.setenv(VARIABLE, password)
    for attempt in attempts:
        with pytest.raises(UserError, match=r"--host: 0\.0\.0\.0 .* requires a password; set FOVEA_SERVER_PASSWORD"):
            attempt(("gpu.example",))
    monkeypatch.setenv(VARIABLE, SECRET)
    for attempt in attempts:
        with pytest.raises(UserError, match=r"--host: 0\.0\.0\.0 requires --allowed-hosts"):
            attempt(())


@pytest.mark.long
def test_the_mlflow_ui_is_reached_from_this_machine_only(tmp_path: Path) -> None:
    """The MLflow UI listens on 127.0.0.1 and refuses foreign names, whatever the environment of the shell says.

    Starts `fovea ui` with variables of MLflow that allow all hosts and switch the checks off.
    """
    port = free_port()
    process = start_ui(
        tmp_path,
        port,
        MLFLOW_SERVER_ALLOWED_HOSTS="*",
        MLFLOW_SERVER_CORS_ALLOWED_ORIGINS="*",
        MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE="true",
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}/")
        path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=fovea"
        assert status(port, path, Host=f"127.0.0.1:{port}") == 200
        assert status(port, path, Host=f"localhost:{port}") == 200
        for host in ("evil.example", f"127.0.0.1.evil.example:{port}", f"192.168.0.1:{port}", ""):
            assert status(port, path, Host=host) in (400, 403), host
        children = psutil.Process(process.pid).children(recursive=True)
        listening = [each.laddr for child in children for each in child.net_connections() if each.status == "LISTEN"]
        assert {address.ip for address in listening} == {"127.0.0.1"}
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=100)


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.slow
def test_pickled_models_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickled model in the registry cannot run code, even if the environment of the shell allows MLflow to load it.

    Saves a model that runs code when it is unpickled, and loads it as the stages do.
    """
    from mlflow.exceptions import MlflowException

    with warnings.catch_warnings(action="ignore"):  # about MLflow's own type hints
        from mlflow import pyfunc

        class Model(pyfunc.PythonModel):  # type: ignore[misc, name-defined]  # mlflow has no types for it
            bomb = Bomb(tmp_path / "mark")

            def predict(self, context: Any, model_input: list[str]) -> list[str]:
                return model_input

        Model.__module__ = "__main__"  # so that it is pickled by value
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    with warnings.catch_warnings(action="ignore"):
        pyfunc.save_model(str(tmp_path / "model"), python_model=Model(), pip_requirements=[])
        pyfunc.load_model(str(tmp_path / "model"))
    (tmp_path / "mark").rmdir()  # it would have run
    prepare_environment()
    with pytest.raises(MlflowException, match=r"(?i)pickle"):
        pyfunc.load_model(str(tmp_path / "model"))
    assert not (tmp_path / "mark").exists()
