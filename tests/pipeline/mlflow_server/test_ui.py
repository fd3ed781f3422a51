"""The MLflow UI as a child process: with a proxy configured, and when it fails to start."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[3]


def start(root: Path, port: int, **more: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["PYTHONPATH"] = os.pathsep.join(
        [*([more.pop("PYTHONPATH")] if "PYTHONPATH" in more else []), str(ROOT)]
    )
    (root / "dvc.yaml").touch()  # which marks the folder as a project
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "ui", "--port", str(port), "--no-open"],
        cwd=root,
        env=environment | more,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.slow
def test_the_ui_and_tracked_runs_work_with_a_proxy_configured(tmp_path: Path) -> None:
    port, unreachable = free_port(), f"http://127.0.0.1:{free_port()}"
    proxies = {
        "http_proxy": unreachable,
        "HTTP_PROXY": unreachable,
        "all_proxy": unreachable,
        "no_proxy": "example.org",
    }
    process = start(tmp_path, port, **proxies)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}/#/experiments/")
        code = (
            "from pathlib import Path\nfrom pipeline.tracking.live import track\n"
            "from pipeline.tracking.record import RunRecord\n"
            "with track(RunRecord('training', 'k', 'with a proxy'), Path('.')) as run: run.log({'loss': 1.0}, 1)\n"
            "assert run.published"
        )
        uri = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        client = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | proxies | uri,
            text=True,
            capture_output=True,
            check=False,
        )
        assert client.returncode == 0, client.stdout + client.stderr
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert direct.open(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
        assert not any("huey" in " ".join(child.cmdline()) for child in psutil.Process(process.pid).children(True))
    finally:
        os.killpg(process.pid, signal.SIGINT)  # like Ctrl-C in a terminal, which reaches all its processes
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == "ui: starting MLflow\n"


@pytest.mark.slow
def test_a_ui_that_fails_to_start_reports_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "uvicorn"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('this uvicorn is broken')\n")
    process = start(tmp_path, free_port(), PYTHONPATH=str(tmp_path / "broken"))
    _, err = process.communicate()
    assert process.returncode == 1
    assert "the MLflow server exited with status" in err
    assert "this uvicorn is broken" in err


def test_the_proxy_still_applies_to_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.mlflow_server.connection import reach_loopback_directly

    monkeypatch.setenv("NO_PROXY", "intranet.example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    reach_loopback_directly()
    assert os.environ["no_proxy"] == "intranet.example.org,localhost,127.0.0.1,::1"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"]
    monkeypatch.setenv("no_proxy", "*")
    reach_loopback_directly()
    assert os.environ["no_proxy"] == "*"
