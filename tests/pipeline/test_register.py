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
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import register
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import Split, write_split
from pipeline.params import RegisterParams
from pipeline.terminal import UserError
from pipeline.tracking import RunRecord, write_record

if TYPE_CHECKING:
    from pipeline.tracking.registry import Alias, Registry, Version

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@dataclass
class Workspace:
    """A repository after `evaluate`, around a tiny network."""

    root: Path
    name: str = "tiny"
    gate: tuple[str, ...] = ("accuracy >= 0.5",)
    classes: tuple[str, ...] = ("left", "right")
    test_digest: str = "a" * 64
    threads: int = 1
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.9, "log_loss": 0.3})

    def network(self, bias: float) -> None:
        import keras

        from pipeline.cnn.keras_file import save_model

        model = keras.Sequential(
            [
                keras.Input((4, 4, 1), name="pixels"),
                keras.layers.Rescaling(1 / 255, name="rescaled"),
                keras.layers.Flatten(name="flat"),
                keras.layers.Dense(len(self.classes), "softmax", kernel_initializer="zeros", name="probabilities"),
            ],
            name="tiny",  # names of its own numbering would make equal networks differ
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
            self.threads,
            self.root / "models" / "model.keras",
            evaluation,
            prepared / "dataset.json",
            prepared,
            report,
            self.root,
        )
        content: dict[str, Any] = json.loads(report.read_text())
        return content

    def registry(self) -> "Registry":
        from pipeline.tracking.registry import Registry
        from pipeline.tracking.server import connect

        return Registry(connect(self.root), self.name)

    def versions(self) -> list["Version"]:
        return self.registry().versions()

    def decision(self, number: int) -> dict[str, Any]:
        (version,) = (version for version in self.versions() if version.number == number)
        content: dict[str, Any] = json.loads(version.tags["fovea.decision"])
        return content

    def aliases(self) -> dict[str, int]:
        registry = self.registry()
        found = registry.server.client.get_registered_model(self.name).aliases
        return {alias: int(number) for alias, number in found.items()}

    def description(self, number: int) -> str:
        registry = self.registry()
        return str(registry.server.client.get_model_version(self.name, str(number)).description)

    def move(self, alias: "Alias", number: int) -> None:
        """What a person does in the UI."""
        registry = self.registry()
        registry.server.client.set_registered_model_alias(self.name, alias, str(number))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Workspace:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    workspace = Workspace(tmp_path)
    workspace.network(bias=0.0)
    return workspace


def test_the_first_network_becomes_champion(workspace: Workspace) -> None:
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["reason"] == "the first champion"
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
    assert "Test accuracy **0.9000**" in str(version.description)
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
    workspace.register()
    assert workspace.decision(2)["champion_accuracy"] == 0.9
    assert workspace.aliases() == {"champion": 2}


def test_an_equally_good_network_is_a_challenger(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


def test_a_network_that_breaks_the_gate_is_a_challenger(workspace: Workspace) -> None:
    workspace.gate = ("accuracy >= 0.5", "log_loss < 0.1")
    report = workspace.register()
    assert report["broken_rules"] == ["log_loss < 0.1 (it is 0.3)"]
    assert workspace.aliases() == {"challenger": 1}
    assert "log_loss < 0.1 (it is 0.3)" in workspace.decision(1)["reason"]


def test_a_gate_on_a_metric_that_the_evaluation_lacks_is_told(workspace: Workspace) -> None:
    workspace.gate = ("macro_f1 >= 0.5",)
    with pytest.raises(UserError, match=r"register\.gate.*known: accuracy, log_loss"):
        workspace.register()


def test_the_champion_is_judged_again_when_the_test_data_changed(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.test_digest = "b" * 64
    workspace.register()
    assert workspace.decision(2)["champion_accuracy"] == 1.0
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


def test_a_champion_stays_so_on_other_test_data(workspace: Workspace) -> None:
    workspace.register()
    workspace.test_digest = "b" * 64
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1


def test_a_challenger_is_compared_again_on_other_test_data_not_doubled(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    workspace.test_digest = "b" * 64
    workspace.metrics["accuracy"] = 2.0  # more than the champion can reach
    workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert "Test accuracy **2.0000**" in workspace.description(2)


def test_other_classes_begin_a_new_lineage(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes = ("left", "right", "up")
    workspace.network(bias=0.0)
    workspace.metrics["accuracy"] = 0.6
    workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert "new lineage" in workspace.decision(2)["reason"]


def test_a_renamed_class_makes_a_version_with_the_new_name(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    workspace.classes = ("port", "right")
    workspace.network(bias=0.0)
    workspace.register()
    one, two = (version.tags["model_digest"] for version in workspace.versions())
    assert one == two
    assert workspace.aliases() == {"champion": 2}
    metadata = get_model_info("models:/tiny@champion").metadata
    assert metadata is not None
    assert metadata["classes"] == ["port", "right"]


def test_a_class_renamed_with_the_test_data_makes_a_version_too(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes, workspace.test_digest = ("port", "right"), "b" * 64
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2}


def test_a_relaxed_gate_makes_the_challenger_champion(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "has no champion now" in capsys.readouterr().out
    workspace.gate = ("accuracy >= 0.9",)
    assert workspace.register()["gate"] == ["accuracy >= 0.9"]
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1
    assert "registered as champion" in workspace.description(1)
    assert "decided anew: tiny version 1 as champion" in capsys.readouterr().out


def test_a_relaxed_gate_does_not_spare_the_comparison(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    workspace.gate = ("accuracy >= 0.5",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}
    assert "against the champion's 0.9" in workspace.decision(2)["reason"]


def test_a_tightened_gate_takes_the_alias_from_this_very_network(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.register()
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "champion no more, since the gate does not hold: accuracy >= 0.999 (it is 0.9)" in capsys.readouterr().out
    workspace.register()
    assert len(workspace.versions()) == 1


def test_a_tightened_gate_leaves_the_alias_of_another_network(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


def test_another_gate_that_decides_the_same_keeps_the_champion(workspace: Workspace) -> None:
    workspace.register()
    workspace.gate = ("accuracy >= 0.6",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["gate"] == ["accuracy >= 0.6"]


def test_a_rule_that_breaks_by_another_measurement_is_applied(workspace: Workspace) -> None:
    """As accuracy_low does with another evaluate.confidence."""
    workspace.gate = ("log_loss < 0.4",)
    workspace.register()
    workspace.metrics["log_loss"] = 0.5
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}


def test_an_alias_moved_by_hand_stays(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    workspace.move("champion", 2)
    before = workspace.versions()
    workspace.register()
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2, "challenger": 2}
    assert workspace.versions() == before
    assert (
        "version 1 is this network already; nothing to register; the champion is version 2" in capsys.readouterr().out
    )


def test_a_registration_killed_before_its_alias_is_mended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tracking.registry import Registry

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "assign", killed)
        with pytest.raises(KeyboardInterrupt):
            workspace.register()
    assert workspace.aliases() == {}
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1


@pytest.mark.parametrize("method", ["update", "assign"])
def test_a_decision_killed_half_way_is_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    from pipeline.tracking.registry import Registry

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    workspace.register()
    workspace.gate = ("accuracy >= 0.999",)
    with monkeypatch.context() as patched:
        patched.setattr(Registry, method, killed)
        with pytest.raises(KeyboardInterrupt):
            workspace.register()
    assert workspace.aliases() == {"champion": 1}
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "champion no more" in workspace.description(1)


def test_the_report_does_not_follow_from_the_history_of_the_registry(workspace: Workspace) -> None:
    report = workspace.root / "reports" / "register.json"
    workspace.network(bias=0.1)
    workspace.register()
    workspace.network(bias=0.0)
    workspace.register()
    challenger = report.read_bytes()
    workspace.name = "empty"
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert report.read_bytes() == challenger.replace(b'"tiny"', b'"empty"')


def test_a_missing_champion_offers_to_register_alone(workspace: Workspace) -> None:
    from pipeline.tracking.registry import load_registered

    with pytest.raises(UserError, match=r"dvc repro --force --single-item register"):
        load_registered("models:/tiny@champion", workspace.root)


def test_the_older_champion_is_judged_on_a_fixed_number_of_threads(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.cnn import runtime

    given: list[int] = []
    monkeypatch.setattr(runtime, "configure", given.append)
    workspace.threads = 3
    workspace.register()
    assert given == [3]


def test_dvc_gives_register_the_threads_and_never_skips_it_for_the_run_cache() -> None:
    from ruamel.yaml import YAML

    stage = YAML(typ="safe").load(Path(__file__).parents[2] / "dvc.yaml")["stages"]["register"]
    assert stage["params"] == ["register", "training.threads"]
    assert "models/architecture.yaml" not in stage["deps"]
    assert stage["outs"] == [{"reports/register.json": {"persist": True}}]  # DVC's run cache leaves these alone


def test_without_a_server_nothing_is_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{_free_port()}")
    with pytest.raises(UserError, match="does not answer"):
        workspace.register()
    assert not (workspace.root / "reports" / "register.json").exists()


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real MLflow server, and no database beside it."""
    (workspace.root / "mlflow.db").unlink()
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
