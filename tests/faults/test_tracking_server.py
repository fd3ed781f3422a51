"""Trainings while their tracking server fails: a proxy does the damage in front of a real MLflow server."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.tracking import background, live
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord, write_record
from pipeline.tracking.sync import sync
from tests.faults.proxy import Proxy
from tests.faults.tracking_server import quick_tracking_server
from tests.pipeline.train.workspace import make_workspace
from tests.ports import free_port

pytestmark = pytest.mark.slow
EPOCHS = 8
MAX_WAIT = 2.0  # seconds, in place of 30


@pytest.fixture(scope="module")
def server_port(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    with quick_tracking_server(folder, port, empty_database):
        import mlflow.tracking  # whose first import takes seconds  # noqa: F401

        yield port


@pytest.fixture
def proxy(
    server_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Proxy]:
    with Proxy(server_port) as proxy:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
        monkeypatch.setattr(background, "MAX_WAIT", MAX_WAIT)
        monkeypatch.setattr(live, "FLUSH_SECONDS", 0.05)
        monkeypatch.setattr(live, "FLUSH_SHARE", 1.0)
        yield proxy


def nothing(epoch: int) -> None:
    """Do no damage."""


def compute(seconds: float) -> None:
    """Stand in for an epoch that takes this long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sum(range(100_000))
        time.sleep(min(left, 0.01))


def train(root: Path, damage: Callable[[int], object] = nothing, seconds: float = 0.06) -> tuple[bytes, float]:
    """Track a training whose epochs take no time; return its record, and the seconds of the slowest epoch."""
    record = RunRecord("training", "0123456789abcdef", "training", params={"epochs": EPOCHS}, tags={"seed": "1"})
    slowest = 0.0
    with track(record, root) as run:
        for epoch in range(1, EPOCHS + 1):
            damage(epoch)
            began = time.perf_counter()
            run.log({"loss": 1 / epoch, "val_loss": 2 / epoch}, epoch)
            run.log({"images_per_second": 100.0 + epoch}, epoch, volatile=True)
            slowest = max(slowest, time.perf_counter() - began)
            compute(seconds)
    path = root / "reports" / "train" / "run.json"
    write_record(record, path)
    return path.read_bytes(), slowest


def assert_published_once(root: Path, status: str = "FINISHED") -> None:
    """The server has one run, with each metric of each epoch exactly once."""
    from pipeline.mlflow_server.connection import connect

    server = connect(root)
    (run,) = server.client.search_runs([server.experiment_id])
    assert run.info.status == status
    epochs = range(1, EPOCHS + 1)
    expected = {
        "train/loss": [1 / epoch for epoch in epochs],
        "val/loss": [2 / epoch for epoch in epochs],
        "train/images_per_second": [100.0 + epoch for epoch in epochs],
    }
    for name, values in expected.items():
        history = server.client.get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in history] == list(zip(epochs, values, strict=True)), name


def assert_unharmed(
    proxy: Proxy,
    root: Path,
    output: pytest.CaptureFixture[str],
    damage: Callable[[int], object],
    end: Callable[[], object],
) -> None:
    """A training under a fault ends like any other, soon, with one message; everything is published afterwards."""
    began = time.monotonic()
    record, slowest = train(root, damage)
    seconds = time.monotonic() - began
    messages = [line for line in "".join(output.readouterr()).splitlines() if line]
    assert len(messages) == 1, messages
    assert "continuing without MLflow; publish later with `fovea sync`" in messages[0]
    assert "Traceback" not in messages[0]
    assert seconds < EPOCHS * 0.06 + MAX_WAIT + 2
    assert slowest < MAX_WAIT / 2  # an epoch that waited for the server would take as long as the limit
    (undisturbed := root / "undisturbed").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
        assert train(undisturbed, seconds=0)[0] == record
    end()
    assert sync(root) >= 1
    assert sync(root) == 0
    assert_published_once(root)


def at(moment: int, action: Callable[[], object]) -> Callable[[int], object]:
    return lambda epoch: action() if epoch == moment else None


def test_a_server_that_works_has_everything_at_the_end(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training publishes each metric of each epoch once.

    Forwards all connections.
    """
    monkeypatch.setattr(background, "MAX_WAIT", 30.0)  # a busy machine may need longer than the other tests wait
    train(tmp_path)
    assert_published_once(tmp_path)
    assert sync(tmp_path) == 0


def test_a_server_that_is_down_at_the_start_does_no_harm(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training whose server is down at the start ends as usual, and is published once afterwards.

    Refuses connections until the third epoch.
    """
    proxy.down()
    assert_unharmed(proxy, tmp_path, capsys, at(3, proxy.up), lambda: None)


def test_a_server_that_comes_after_the_end_gets_everything(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that is up only after the training gets each metric once.

    Refuses connections until the training has ended.
    """
    proxy.down()
    assert_unharmed(proxy, tmp_path, capsys, nothing, proxy.up)


def test_a_server_that_is_down_in_the_middle_does_no_harm(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training whose server is down for a while ends as usual, and is published once afterwards.

    Cuts all connections from the third to the seventh epoch, and refuses new ones.
    """

    def damage(epoch: int) -> None:
        if epoch == 3:
            proxy.down()
        if epoch == 7:
            proxy.up()

    assert_unharmed(proxy, tmp_path, capsys, damage, lambda: None)


def test_a_server_that_never_answers_does_not_stop_a_training(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that accepts connections and never answers delays a stage by 30 s in all at most.

    Accepts all connections and requests, and answers none; the limit is lowered to 2 s.
    """
    proxy.silent = True
    assert_unharmed(proxy, tmp_path, capsys, nothing, lambda: setattr(proxy, "silent", False))


def test_a_server_that_stops_answering_does_not_slow_the_epochs(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that stops answering in the middle delays no epoch, and the end by 30 s at most.

    Leaves all requests unanswered from the third epoch on; the limit is lowered to 2 s.
    """
    assert_unharmed(
        proxy,
        tmp_path,
        capsys,
        at(3, lambda: setattr(proxy, "silent", True)),
        lambda: setattr(proxy, "silent", False),
    )


def test_a_slow_server_does_not_stop_a_training(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server whose answers are slow, but arrive, delays a stage by 30 s in all at most.

    Delays each answer by a sixth of the limit, which is lowered to 2 s.
    """
    proxy.delay = MAX_WAIT / 6
    assert_unharmed(proxy, tmp_path, capsys, nothing, lambda: setattr(proxy, "delay", 0.0))


@pytest.mark.long
def test_a_server_that_takes_5_seconds_per_answer_does_not_stop_a_training(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for 5 s per answer with the real limit of 30 s.

    Delays each answer by 5 s.
    """
    monkeypatch.setattr(background, "MAX_WAIT", 30.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    proxy.delay = 5.0
    began = time.monotonic()
    _, slowest = train(tmp_path)
    assert time.monotonic() - began < 35
    assert slowest < 0.5
    proxy.delay = 0.0
    sync(tmp_path)
    assert_published_once(tmp_path)


def test_the_limit_holds_for_all_trainings_of_a_stage_together(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage with several trainings waits for a slow server no longer than one with one training.

    Delays each answer by a sixth of the limit while three trainings follow one another.
    """
    proxy.delay = MAX_WAIT / 6
    began = time.monotonic()
    for number in range(3):
        with track(RunRecord("training", f"{number:016}", "training"), tmp_path) as run:
            run.log({"loss": 1.0}, 1)
    assert time.monotonic() - began < MAX_WAIT + 2
    assert capsys.readouterr().out.count("continuing without MLflow") == 1


def test_a_server_that_returns_errors_does_no_harm(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training whose server fails ends as usual, and is published once afterwards.

    Answers each request with the status 500 from the third epoch on.
    """
    assert_unharmed(
        proxy, tmp_path, capsys, at(3, lambda: setattr(proxy, "status", 500)), lambda: setattr(proxy, "status", None)
    )


def test_wrong_credentials_do_no_harm(
    proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training with wrong credentials ends as usual, without showing them, and is published once afterwards.

    Answers each request with the status 401; the credentials are in the environment.
    """
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", secret := "open sesame")
    proxy.status = 401
    shown: list[str] = []

    def look(epoch: int) -> None:
        if epoch == 1:
            shown.append(capsys.readouterr().out)
            print(shown[0])

    assert_unharmed(proxy, tmp_path, capsys, look, lambda: setattr(proxy, "status", None))
    assert "401" in shown[0]
    assert secret not in shown[0]


def test_an_inherited_run_id_has_no_effect(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of another program is never written to.

    Sets MLFLOW_RUN_ID in the environment, as a program does that starts Fovea within a run.
    """
    monkeypatch.setenv("MLFLOW_RUN_ID", "f" * 32)
    train(tmp_path)
    assert_published_once(tmp_path)


KILLED = """
import os, signal
from pathlib import Path
from pipeline.tracking.live import track
from pipeline.tracking.record import RunRecord
with track(RunRecord("training", "killed", "training"), Path(".")) as run:
    run.log({"loss": 1.0}, 1)
    run.flush()
    run.wait()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def statuses(root: Path) -> dict[str, Any]:
    from pipeline.mlflow_server.connection import connect

    server = connect(root)
    return {run.data.tags["fovea.key"]: run.info for run in server.client.search_runs([server.experiment_id])}


def test_the_run_of_a_killed_process_is_closed(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that a killed process left RUNNING is closed as KILLED by the next stage; a run in progress is not.

    Kills a process within a training with SIGKILL while another training is in progress, then runs a third one.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert statuses(tmp_path)["killed"].status == "RUNNING"
    with track(RunRecord("training", "in progress", "training"), tmp_path) as run:
        run.wait()
        found = statuses(tmp_path)
        assert {key: info.status for key, info in found.items()} == {"killed": "KILLED", "in progress": "RUNNING"}
        assert found["killed"].end_time >= found["killed"].start_time
        assert sync(tmp_path) == 0
        assert statuses(tmp_path)["in progress"].status == "RUNNING"


@pytest.mark.long
def test_an_outage_of_a_minute_does_not_slow_a_training(
    server_port: int, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An outage of 60 s in the middle of a training slows it by less than 2 %.

    Leaves all requests unanswered for 60 s of a training of 75 s, with the real limits.
    """
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.address)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "outage")
    ended: list[float] = []

    def damage(epoch: int) -> None:
        if epoch == 1:
            ended.append(time.monotonic())
        if epoch in (2, EPOCHS):
            proxy.silent = not proxy.silent

    _, slowest = train(tmp_path, damage, seconds=60 / (EPOCHS - 2))
    seconds = time.monotonic() - ended[0]
    assert slowest < 1.0  # an epoch that waited for the server would take seconds
    assert seconds < 60 / (EPOCHS - 2) * EPOCHS * 1.02
    assert len("".join(capfd.readouterr()).splitlines()) == 1
    sync(tmp_path)
    assert_published_once(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["silent", "down", "500", "slow"])
def test_a_network_trained_while_the_server_fails_has_the_same_bytes(
    proxy: Proxy, tmp_path: Path, empty_database: Path, fault: str
) -> None:
    """The stage train writes the same network, history and reports, whatever the tracking server does.

    Runs the stage with a server that fails from the sixth request on, and compares all its outputs with those of an
    undisturbed run.
    """
    undisturbed = make_workspace(tmp_path / "undisturbed", empty_database)
    undisturbed.run()
    disturbed = make_workspace(tmp_path / "disturbed", empty_database)
    first, ended = proxy.requests, threading.Event()

    def fail() -> None:
        while proxy.requests < first + 6 and not ended.wait(0.005):
            pass
        if fault == "down":
            proxy.down()
        proxy.silent, proxy.delay = fault == "silent", MAX_WAIT / 6 if fault == "slow" else 0.0
        proxy.status = 500 if fault == "500" else None

    (thread := threading.Thread(target=fail)).start()
    try:
        disturbed.run()
    finally:
        ended.set()
        thread.join()
    assert disturbed.outputs() == undisturbed.outputs()
