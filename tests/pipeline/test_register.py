import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import register
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import Split, write_split
from pipeline.params import RegisterParams
from pipeline.terminal import UserError
from pipeline.tracking import RunRecord, write_record

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@dataclass
class Workspace:
    """A repository after `evaluate`, around a tiny network."""

    root: Path
    name: str = "tiny"
    gate: tuple[str, ...] = ("accuracy >= 0.5",)
    classes: tuple[str, ...] = ("left", "right")
    test_digest: str = "a" * 64
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.9, "log_loss": 0.3})

    def network(self, bias: float) -> None:
        import keras

        from pipeline.cnn.keras_file import save_model

        model = keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(len(self.classes), activation="softmax", kernel_initializer="zeros"),
            ]
        )
        weights = np.zeros((16, len(self.classes)), np.float32)
        weights[:8, 0] = 1.0
        weights[8:, 1] = 1.0
        model.layers[-1].set_weights([weights, np.array([bias, *[0.0] * (len(self.classes) - 1)], np.float32)])
        save_model(model, self.root / "models" / "model.keras", self.classes)

    def register(self) -> dict[str, Any]:
        count = 4
        images = np.zeros((count, 4, 4, 1), np.uint8)
        images[:2, :2], images[2:, 2:] = 255, 255
        labels = np.array([0, 0, 1, 1], np.int64)
        prepared, evaluation = self.root / "data" / "prepared", self.root / "reports" / "evaluate"
        shutil.rmtree(prepared, ignore_errors=True)
        write_split(Split("test", images, labels, self.test_digest), prepared / "test")
        dataset = Dataset(
            name="tiny",
            input_shape=(4, 4, 1),
            dtype="uint8",
            classes=self.classes,
            counts={"test": dict.fromkeys(self.classes, 2)},
            mean=(127.5,),
            std=(127.5,),
            digests={"test": self.test_digest},
            duplicates={},
            skipped=(),
        )
        write_dataset(dataset, prepared / "dataset.json")
        evaluation.mkdir(parents=True, exist_ok=True)
        (evaluation / "metrics.json").write_text(json.dumps(self.metrics))
        record = RunRecord("training", "training", "tiny", status="FINISHED")
        write_record(record, self.root / "reports" / "train" / "run.json")
        write_record(
            RunRecord("evaluation", "evaluation", "tiny", parent="training", status="FINISHED"),
            evaluation / "run.json",
        )
        report = self.root / "reports" / "register.json"
        register.run(
            RegisterParams(name=self.name, gate=self.gate),
            self.root / "models" / "model.keras",
            evaluation,
            prepared / "dataset.json",
            prepared,
            report,
            self.root,
        )
        content: dict[str, Any] = json.loads(report.read_text())
        return content

    def versions(self) -> list[Any]:
        from pipeline.tracking.registry import Registry
        from pipeline.tracking.server import connect

        return Registry(connect(self.root), self.name).versions()

    def champion(self) -> int:
        from pipeline.tracking.registry import Registry
        from pipeline.tracking.server import connect

        champion = Registry(connect(self.root), self.name).champion()
        assert champion is not None
        return champion.number


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path)
    workspace.network(bias=0.0)
    return workspace


def test_the_first_network_becomes_champion(workspace: Workspace) -> None:
    report = workspace.register()
    assert (report["alias"], report["reason"]) == ("champion", "the first champion")
    (version,) = workspace.versions()
    assert version.tags["accuracy"] == "0.9"
    assert version.tags["test_digest"] == "a" * 64


def test_a_version_has_signature_example_requirements_and_classes(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    info = get_model_info("models:/tiny@champion")
    assert info.signature is not None
    assert info.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 4, 4, 1)}
    assert info.signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 2)}
    assert info.saved_input_example_info is not None
    assert info.metadata is not None
    assert info.metadata["classes"] == ["left", "right"]
    requirements = next((workspace.root / "mlartifacts").rglob("requirements.txt")).read_text().splitlines()
    assert [line.split("==")[0] for line in requirements] == ["keras", "tensorflow", "numpy", "mlflow"]


def test_a_version_belongs_to_the_run_of_its_training(workspace: Workspace) -> None:
    from pipeline.tracking.mirror import Mirror
    from pipeline.tracking.server import connect

    workspace.register()
    server = connect(workspace.root)
    version = server.client.get_model_version_by_alias("tiny", "champion")
    run = Mirror(server, workspace.root).find("training")
    assert run is not None
    assert version.run_id == run.run_id
    assert "Test accuracy **0.9000**" in version.description
    assert server.client.get_run(run.run_id).info.status == "FINISHED"
    (logged,) = server.client.search_logged_models([server.experiment_id])
    assert (logged.source_run_id, str(logged.status)) == (run.run_id, "READY")
    assert not (workspace.root / "mlruns").exists()


def test_registering_twice_changes_nothing(workspace: Workspace) -> None:
    first = workspace.register()
    assert workspace.register() == first
    assert len(workspace.versions()) == 1


def test_a_better_network_replaces_the_champion(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.metrics["accuracy"] = 0.95
    report = workspace.register()
    assert (report["alias"], report["champion_accuracy"]) == ("champion", 0.9)
    assert workspace.champion() == 2


def test_an_equally_good_network_is_a_challenger(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    assert workspace.register()["alias"] == "challenger"
    assert workspace.champion() == 1


def test_a_network_that_breaks_the_gate_is_a_challenger(workspace: Workspace) -> None:
    workspace.gate = ("accuracy >= 0.5", "log_loss < 0.1")
    report = workspace.register()
    assert report["alias"] == "challenger"
    assert "log_loss < 0.1 (it is 0.3)" in report["reason"]


def test_a_gate_on_an_unknown_metric_is_told(workspace: Workspace) -> None:
    workspace.gate = ("acuracy >= 0.5",)
    with pytest.raises(UserError, match=r"register\.gate.*known: accuracy, log_loss"):
        workspace.register()


def test_the_champion_is_judged_again_when_the_test_data_changed(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.test_digest = "b" * 64
    report = workspace.register()
    assert report["champion_accuracy"] == 1.0
    assert report["alias"] == "challenger"


def test_a_champion_stays_so_on_other_test_data(workspace: Workspace) -> None:
    workspace.register()
    workspace.test_digest = "b" * 64
    assert workspace.register()["alias"] == "champion"
    assert len(workspace.versions()) == 1


def test_other_classes_begin_a_new_lineage(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes = ("left", "right", "up")
    workspace.network(bias=0.0)
    workspace.metrics["accuracy"] = 0.6
    report = workspace.register()
    assert report["alias"] == "champion"
    assert "new lineage" in report["reason"]


def test_without_a_server_nothing_is_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{_free_port()}")
    with pytest.raises(UserError, match="does not answer"):
        workspace.register()
    assert not (workspace.root / "reports" / "register.json").exists()


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real MLflow server."""
    port = _free_port()
    store = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "served"]
    with _running("server", *store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1", cwd=workspace.root):
        address = f"http://127.0.0.1:{port}"
        _await(f"{address}/health")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        yield address


@pytest.mark.slow
def test_the_champion_answers_over_http_as_it_does_here(workspace: Workspace, server: str) -> None:
    from pipeline.predict import load_network

    workspace.register()
    network = load_network("models:/tiny@champion", workspace.root)
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    port = _free_port()
    options = ["--model-uri", "models:/tiny@champion", "--env-manager", "local", "--host", "127.0.0.1"]
    with _running("models", "serve", *options, "--port", str(port), cwd=workspace.root):
        _await(f"http://127.0.0.1:{port}/health")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": images.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            served = np.array(json.load(answer)["predictions"])
    assert not (workspace.root / "mlflow.db").exists()
    np.testing.assert_allclose(served, network.model.predict(images, verbose=0), atol=1e-6)


class _running:  # noqa: N801
    """An mlflow command, with all its processes, for the length of a block."""

    def __init__(self, *command: str, cwd: Path) -> None:
        self._command = [sys.executable, "-m", "mlflow", *command]
        self._cwd = cwd

    def __enter__(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=os.environ | {"PATH": path, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _await(address: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
