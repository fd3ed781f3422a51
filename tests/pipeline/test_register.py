import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from PIL import Image

from pipeline import register
from pipeline.commands.mlflow import rollback
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import Split, write_split
from pipeline.errors import UserError
from pipeline.evaluation.ood import NetworkOutputs, fit_ood_detector, write_ood_detector
from pipeline.params import RegisterParams
from pipeline.params.gate import Replace
from pipeline.params_file import load_params
from pipeline.tracking.record import RunRecord, write_record
from tests.pipeline.sections import params_with
from tests.pipeline.training.trainings import training

if TYPE_CHECKING:
    from pipeline.registry.versions import Alias, Registry, Version

PARAMS = Path(__file__).parents[2] / "params.yaml"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


BRIGHTNESS = np.linspace(0.2, 1.0, 5)


@dataclass
class Workspace:
    """A repository after `evaluate`, around a tiny network and images whose upper or lower half is lit: ten kinds."""

    root: Path
    name: str = "tiny"
    gate: tuple[str, ...] = ("accuracy >= 0.5",)
    exports: tuple[Literal["onnx", "litert"], ...] = ()
    classes: tuple[str, ...] = ("upper", "lower")
    test_digest: str = "a" * 64
    threads: int = 1
    replace: Replace = "better"
    copies: int = 20
    training: str = "training"  # key of its run
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 1.0, "log_loss": 0.3})

    def network(self, bias: float) -> None:
        """A network in favour of `upper`, which misses images whose lower half is lit weakly: from 1.6, one in ten."""
        import keras

        from pipeline.cnn.keras_file import save_model

        model = keras.Sequential(
            [
                keras.Input((4, 4, 1), name="pixels"),
                keras.layers.Rescaling(1 / 255, name="rescaled"),
                keras.layers.Flatten(name="flat"),
                keras.layers.Dense(len(self.classes), kernel_initializer="zeros", name="scores"),
                keras.layers.Softmax(name="probabilities"),
            ],
            name="tiny",  # names of its own numbering would make equal networks differ
        )
        weights = np.zeros((16, len(self.classes)), np.float32)
        weights[:8, 0] = 1.0
        weights[8:, 1] = 1.0
        model.layers[-2].set_weights([weights, np.array([bias, *[0.0] * (len(self.classes) - 1)], np.float32)])
        save_model(model, self.paths.model, self.classes)
        self.metrics["accuracy"] = 1.0 - (bias > 8 * BRIGHTNESS).sum() / 10

    def digest(self) -> str:
        from pipeline.cnn.keras_file import load_model, model_digest

        return model_digest(load_model(self.paths.model))

    @property
    def paths(self) -> register.Paths:
        """As the stage's defaults, but below the workspace."""
        below = {name: self.root / path for name, path in register.Paths().__dict__.items()}
        return register.Paths(**below)

    def images(self) -> np.ndarray:
        images = np.zeros((10, 4, 4, 1), np.uint8)
        for number, brightness in enumerate(BRIGHTNESS):
            images[number, :2] = images[5 + number, 2:] = round(255 * brightness)
        return np.tile(images, (self.copies, 1, 1, 1))

    def write(self) -> None:
        """What the stages before `register` write."""
        paths = self.paths
        shutil.rmtree(paths.prepared, ignore_errors=True)
        labels = np.tile(np.repeat([0, 1], 5), self.copies)
        write_split(Split("test", self.images(), labels, self.test_digest), paths.prepared / "test")
        dataset = Dataset(
            name="tiny",
            input_shape=(4, 4, 1),
            dtype="uint8",
            classes=self.classes,
            counts={"test": dict.fromkeys(self.classes, 5)},
            mean=(127.5,),
            std=(127.5,),
            digests={"test": self.test_digest},
            duplicates={},
            skipped=(),
        )
        write_dataset(dataset, paths.prepared / "dataset.json")
        paths.evaluation.mkdir(parents=True, exist_ok=True)
        (paths.evaluation / "metrics.json").write_text(json.dumps(self.metrics))
        (paths.evaluation / "details.json").write_text("{}")
        seen = NetworkOutputs(np.random.default_rng(0).normal(size=(20, 16)), np.zeros((20, 2)))
        write_ood_detector(
            fit_ood_detector(self.digest(), seen, np.arange(20) % 2, [seen], "features", 0.05), paths.familiarity
        )
        record = RunRecord("training", self.training, "tiny", status="FINISHED")
        write_record(record, self.root / "reports" / "train" / "run.json")
        write_record(
            RunRecord(
                "evaluation",
                "evaluation",
                "tiny",
                parent=self.training,
                status="FINISHED",
                tags={"model_digest": self.digest(), "test_digest": self.test_digest},
            ),
            paths.evaluation / "run.json",
        )

    def register(self) -> dict[str, Any]:
        self.write()
        paths = self.paths
        section = RegisterParams(
            name=self.name, gate=self.gate, replace=self.replace, alpha=0.05, margin=0.01, exports=self.exports
        )
        register.run(params_with(register_=section, training=training(threads=self.threads), seed=1), paths)
        content: dict[str, Any] = json.loads(paths.report.read_text())
        return content

    def registry(self) -> "Registry":
        from pipeline.mlflow_server.connection import connect
        from pipeline.registry.versions import Registry

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

    def run_tag(self, key: str) -> str | None:
        """The tag `alias` of a training's run."""
        from pipeline.tracking.mirror import Mirror

        run = Mirror(self.registry().server, self.root).find(key)
        assert run is not None
        return run.tags.get("alias")

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


@pytest.mark.slow
def test_the_first_network_becomes_champion(workspace: Workspace) -> None:
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["reason"] == "the first champion"
    (version,) = workspace.versions()
    assert version.tags["accuracy"] == "1.0"
    assert version.tags["test_digest"] == "a" * 64


@pytest.mark.slow
def test_a_version_has_example_requirements_and_classes(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    from pipeline.registry.versions import REQUIREMENTS

    workspace.register()
    info = get_model_info("models:/tiny@champion")
    assert info.saved_input_example_info is not None
    assert info.metadata is not None
    assert info.metadata["classes"] == ["upper", "lower"]
    requirements = next((workspace.root / "mlartifacts").rglob("requirements.txt")).read_text().splitlines()
    assert [line.split("==")[0] for line in requirements] == list(REQUIREMENTS)


@pytest.mark.slow
def test_a_version_belongs_to_the_run_of_its_training(workspace: Workspace) -> None:
    from pipeline.mlflow_server.connection import connect
    from pipeline.tracking.mirror import Mirror

    workspace.register()
    server = connect(workspace.root)
    version = server.client.get_model_version_by_alias("tiny", "champion")
    run = Mirror(server, workspace.root).find("training")
    assert run is not None
    assert version.run_id == run.run_id
    assert "Test accuracy **1.0000**" in str(version.description)
    assert server.client.get_run(run.run_id).info.status == "FINISHED"
    (logged,) = server.client.search_logged_models([server.experiment_id])
    assert (logged.source_run_id, str(logged.status)) == (run.run_id, "READY")
    assert not (workspace.root / "mlruns").exists()


@pytest.mark.slow
def test_registering_twice_changes_nothing(workspace: Workspace) -> None:
    first = workspace.register()
    assert workspace.register() == first
    assert len(workspace.versions()) == 1


@pytest.mark.slow
def test_outputs_that_are_links_are_registered(workspace: Workspace) -> None:
    """As DVC makes them with cache.type symlink."""
    from pipeline.registry import versions as registry

    workspace.register()
    workspace.network(bias=0.1)
    add = registry.Registry.add

    def linked(self: "Registry", network: Path, familiarity: Path, *rest: Any) -> "Version":
        for path in (network, familiarity):
            path.replace(cached := workspace.root / f"cache-{path.suffix[1:]}")
            path.symlink_to(cached)
        return add(self, network, familiarity, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry.Registry, "add", linked)
        workspace.register()
    assert workspace.paths.model.is_symlink()
    with registry.fetched_from("models:/tiny/2", workspace.root) as folder:
        assert {"model.keras", "familiarity.npz"} <= {path.name for path in folder.rglob("*")}
        assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert workspace.versions()[0].number == 2


@pytest.mark.slow
def test_two_registrations_at_once_make_one_version(workspace: Workspace) -> None:
    from pipeline.registry import lock as registry_lock

    workspace.register()
    workspace.network(bias=0.1)
    workspace.write()
    script = (
        "import sys; from pathlib import Path; from pipeline import register\n"
        "from pipeline.params import RegisterParams\n"
        "from pipeline.params_file import load_params\n"
        "paths = register.Paths(**{name: Path(path) for name, path in register.Paths().__dict__.items()})\n"
        "section = RegisterParams(name='tiny', gate=('accuracy >= 0.5',), replace='better', alpha=0.05, margin=0.01,"
        " exports=())\n"
        "params = load_params(Path(sys.argv[1]))\n"
        "training = params.training.model_copy(update={'threads': 1})\n"
        "register.run(params.model_copy(update={'register_': section, 'training': training, 'seed': 1}), paths)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(PARAMS.parent), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", script, str(PARAMS)]
    with registry_lock.only_registration(workspace.registry().server, "tiny"):
        other = subprocess.Popen(command, cwd=workspace.root, env=environment, text=True, stdout=subprocess.PIPE)
        assert other.stdout is not None
        told = [other.stdout.readline()]
        while told[-1] and not told[-1].startswith("another process registers tiny now"):
            told.append(other.stdout.readline())
        assert told[-1], told
        with pytest.MonkeyPatch.context() as patched:  # this process holds the lock already
            patched.setattr(registry_lock, "only_registration", lambda *_: nullcontext())
            workspace.register()
    told.append(other.communicate()[0])
    assert other.returncode == 0
    assert [version.number for version in workspace.versions()] == [2, 1]
    assert "tiny version 2 is this network already" in told[-1]


@pytest.mark.slow
def test_networks_and_decisions_on_a_test_split_are_counted(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.network(bias=2.0)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 1}
    assert "No other network, runners-up aside, was evaluated on this test split so far." in capsys.readouterr().out
    workspace.network(bias=3.0)
    assert workspace.register()["test_split"] == {"networks": 2, "decisions": 2}
    said = capsys.readouterr().out
    assert "2 networks, runners-up aside, were evaluated on this test split so far, and 2 decisions of " in said
    assert workspace.register()["test_split"] == {"networks": 2, "decisions": 2}  # it decided nothing
    workspace.test_digest = "b" * 64
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 1}
    capsys.readouterr()
    workspace.gate = ("accuracy >= 0.6",)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 2}
    assert "was evaluated on this test split so far, but 2 decisions of the gate were made" in capsys.readouterr().out
    model = workspace.registry().server.client.get_registered_model(workspace.name)  # as if the database were a new one
    for tag in [tag for tag in model.tags if tag.startswith("fovea.decisions.")]:
        workspace.registry().server.client.delete_registered_model_tag(workspace.name, tag)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 2}


@pytest.mark.slow
def test_another_clone_counts_with_the_same_database_and_this_one_without_it(workspace: Workspace) -> None:
    from pipeline.registry.split_usage import add_evaluation, count_usage

    digest = workspace.test_digest
    workspace.register()
    elsewhere = workspace.root / "another clone"
    assert count_usage(workspace.registry(), elsewhere, digest, "another").networks == 2
    add_evaluation(workspace.root, digest, "one")
    alone = count_usage(None, workspace.root, digest, "another")
    assert (alone.networks, alone.decisions) == (3, 1)
    assert "counted in this clone alone, since MLflow is away" in alone.sentence(0.9, 100)


def test_the_best_of_several_equal_networks_looks_better_by_no_more_than_is_said() -> None:
    from pipeline.registry.split_usage import selection_gain

    hits = np.random.default_rng(0).binomial(300, 0.9, size=(4000, 10)) / 300
    gain = hits.max(axis=1).mean() - 0.9
    assert 0.6 * selection_gain(10, 0.9, 300) < gain < selection_gain(10, 0.9, 300)
    assert selection_gain(1, 0.9, 300) == 0.0


@pytest.mark.slow
def test_a_moved_project_finds_its_models_and_registers_more(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.registry.versions import fetched_from

    workspace.register()
    files = {path.relative_to(workspace.root) for path in (workspace.root / "mlartifacts").rglob("*")}
    monkeypatch.chdir(workspace.root.parent)
    workspace.root = workspace.root.rename(workspace.root.with_name(f"{workspace.root.name} moved"))
    monkeypatch.chdir(workspace.root)
    capsys.readouterr()
    with fetched_from("models:/tiny@champion", workspace.root) as folder:
        assert (folder / "model.keras").is_file()
    assert "the project was moved" in capsys.readouterr().out
    workspace.network(bias=2.0)
    assert workspace.register()["champion_comparison"]["version"] == 1
    assert "the project was moved" not in capsys.readouterr().out
    assert {path.relative_to(workspace.root) for path in (workspace.root / "mlartifacts").rglob("*")} > files
    assert workspace.versions()[0].number == 2


@pytest.mark.slow
def test_a_copied_project_writes_to_files_of_its_own(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.register()
    first = workspace.root
    before = set((first / "mlartifacts").rglob("*"))
    workspace.root = Path(shutil.copytree(first, first.with_name(f"{first.name}-copy")))
    monkeypatch.chdir(workspace.root)
    workspace.network(bias=2.0)
    workspace.register()
    assert set((first / "mlartifacts").rglob("*")) == before
    workspace.root = first
    monkeypatch.chdir(first)
    assert [version.number for version in workspace.versions()] == [1]


@pytest.mark.slow
def test_a_better_network_replaces_the_champion(workspace: Workspace) -> None:
    workspace.network(bias=2.0)
    workspace.register()
    assert workspace.run_tag("training") == "champion"
    workspace.network(bias=0.1)
    workspace.training = "another training"
    report = workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert workspace.run_tag("training") == "former champion"
    assert workspace.run_tag("another training") == "champion"
    assert report["alias"] == "champion"
    assert report["champion_comparison"]["version"] == 1
    assert report["champion_comparison"]["accuracy"] == 0.9
    assert report["champion_comparison"]["comparison"]["difference"] == pytest.approx(0.1)
    assert report["champion_comparison"]["comparison"]["p_value"] < 0.001
    assert [each["rule"] for each in report["verdicts"] if each["holds"]] == [
        "accuracy >= 0.5", "difference > 0", "p_value < 0.05", "difference_low > -0.01"
    ]  # fmt: skip
    assert "from +0.0" in report["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(("replace", "alias"), [("better", "challenger"), ("higher", "champion")])
def test_a_lead_of_one_image_takes_the_alias_only_if_the_user_says_so(
    workspace: Workspace, replace: Replace, alias: str
) -> None:
    workspace.copies, workspace.replace = 1, replace
    workspace.network(bias=2.0)
    workspace.register()
    workspace.network(bias=0.1)
    report = workspace.register()
    assert report["champion_comparison"]["comparison"]["difference"] == pytest.approx(0.1)
    assert report["alias"] == alias
    assert workspace.aliases()[alias] == 2
    assert "p = 1" in workspace.description(2)
    assert ("it needs p_value < 0.05 (it is 1)" in report["reason"]) is (replace == "better")


@pytest.mark.slow
def test_another_way_of_replacing_is_a_new_decision(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    workspace.replace = "not_worse"
    assert workspace.register()["alias"] == "champion"
    assert workspace.aliases() == {"champion": 2}


@pytest.mark.slow
def test_a_network_at_chance_does_not_serve_without_a_rule(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.gate = ()
    workspace.network(bias=9.0)
    assert workspace.metrics["accuracy"] == 0.5
    report = workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    (rule,) = report["verdicts"]
    assert rule["rule"] == "accuracy_low > chance"
    assert rule["limit"] == 0.5
    assert "broken  accuracy_low > chance (it is 0.43" in capsys.readouterr().out
    assert "| `accuracy_low > chance` | 0.43" in workspace.description(1)
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2, "challenger": 1}


@pytest.mark.slow
def test_an_equally_good_network_is_a_challenger(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=0.1)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_the_report_and_the_version_have_each_rule_with_its_figures(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.5", "accuracy >= 0.95 * champion", "p_value < 1e-9", "latency_ms < 1000")
    report = workspace.register()
    rules = {each["rule"]: each for each in report["verdicts"]}
    assert [rules[rule]["holds"] for rule in workspace.gate] == [True, False, False, True]
    assert rules["accuracy >= 0.95 * champion"]["value"] == 0.9
    assert rules["accuracy >= 0.95 * champion"]["limit"] == 0.95
    assert 0 < rules["latency_ms < 1000"]["value"] < 1000
    assert workspace.decision(2)["verdicts"] == report["verdicts"]
    assert "| `accuracy >= 0.95 * champion` | 0.9 | 0.95 | **no** |" in workspace.description(2)


@pytest.mark.slow
def test_a_rule_on_robustness_judges_the_champion_by_the_same_corruptions(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.metrics["robustness"] = 0.5
    workspace.gate = ("robustness >= 0.99 * champion",)
    verdict = next(each for each in workspace.register()["verdicts"] if each["rule"] in workspace.gate)
    assert verdict["value"] == 0.5
    assert 0.0 < verdict["limit"] <= 0.99


@pytest.mark.slow
def test_a_network_that_breaks_the_gate_is_a_challenger(workspace: Workspace) -> None:
    workspace.gate = ("accuracy >= 0.5", "log_loss < 0.1")
    report = workspace.register()
    assert [each["holds"] for each in report["verdicts"]] == [True, False]
    assert workspace.aliases() == {"challenger": 1}
    assert "log_loss < 0.1 (it is 0.3)" in workspace.decision(1)["reason"]


def test_a_gate_on_a_metric_that_the_evaluation_lacks_is_told(workspace: Workspace) -> None:
    workspace.gate = ("macro_f1 >= 0.5",)
    known = "known: accuracy, accuracy_high, accuracy_low, chance, log_loss"
    with pytest.raises(UserError, match=rf"register\.gate.*{known}"):
        workspace.register()


@pytest.mark.slow
def test_the_champion_is_judged_again_when_the_test_data_changed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.test_digest = "b" * 64
    workspace.register()
    assert workspace.decision(2)["champion_comparison"]["accuracy"] == 1.0
    assert "the test data changed: champion version 1 reaches 1 on them" in capsys.readouterr().out
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_a_champion_stays_so_on_other_test_data(workspace: Workspace) -> None:
    workspace.register()
    workspace.test_digest = "b" * 64
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert len(workspace.versions()) == 1


@pytest.mark.slow
def test_a_challenger_is_compared_again_on_other_test_data_not_doubled(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.register()
    workspace.test_digest = "b" * 64
    report = workspace.register()
    assert report["version"] == 2
    assert len(workspace.versions()) == 2
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_other_classes_begin_a_new_lineage(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes = ("upper", "lower", "both")
    workspace.network(bias=2.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2}
    assert "new lineage" in workspace.decision(2)["reason"]


@pytest.mark.slow
def test_a_renamed_class_makes_a_version_with_the_new_name(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    workspace.classes = ("top", "lower")
    workspace.network(bias=0.0)
    workspace.register()
    one, two = (version.tags["model_digest"] for version in workspace.versions())
    assert one == two
    assert workspace.aliases() == {"champion": 2}
    metadata = get_model_info("models:/tiny@champion").metadata
    assert metadata is not None
    assert metadata["classes"] == ["top", "lower"]


@pytest.mark.slow
def test_a_class_renamed_with_the_test_data_makes_a_version_too(workspace: Workspace) -> None:
    workspace.register()
    workspace.classes, workspace.test_digest = ("top", "lower"), "b" * 64
    workspace.network(bias=0.0)
    workspace.register()
    assert workspace.aliases() == {"champion": 2}


@pytest.mark.slow
def test_a_relaxed_gate_makes_the_challenger_champion(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.network(bias=2.0)
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


@pytest.mark.slow
def test_a_relaxed_gate_does_not_spare_the_comparison(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    workspace.gate = ("accuracy >= 0.5",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}
    assert "accuracy 0.9 against 1 of the champion" in workspace.decision(2)["reason"]


@pytest.mark.slow
def test_a_tightened_gate_takes_the_alias_from_this_very_network(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.network(bias=2.0)
    workspace.register()
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}
    assert "champion no more, since the gate does not hold: accuracy >= 0.999 (it is 0.9)" in capsys.readouterr().out
    workspace.register()
    assert len(workspace.versions()) == 1


@pytest.mark.slow
def test_a_tightened_gate_leaves_the_alias_of_another_network(workspace: Workspace) -> None:
    workspace.register()
    workspace.network(bias=2.0)
    workspace.gate = ("accuracy >= 0.999",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_another_gate_that_decides_the_same_keeps_the_champion(workspace: Workspace) -> None:
    workspace.register()
    workspace.gate = ("accuracy >= 0.6",)
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["gate"] == ["accuracy >= 0.6"]


@pytest.mark.slow
def test_a_rule_that_breaks_by_another_measurement_is_applied(workspace: Workspace) -> None:
    """As accuracy_low does with another evaluate.confidence."""
    workspace.gate = ("log_loss < 0.4",)
    workspace.register()
    workspace.metrics["log_loss"] = 0.5
    workspace.register()
    assert workspace.aliases() == {"challenger": 1}


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_registration_killed_before_its_alias_is_mended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.registry.versions import Registry

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


@pytest.mark.slow
@pytest.mark.parametrize("method", ["update", "assign"])
def test_a_decision_killed_half_way_is_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    from pipeline.registry.versions import Registry

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    workspace.network(bias=2.0)
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


@pytest.mark.slow
def test_what_dvc_tracks_does_not_follow_from_the_history_of_the_registry(workspace: Workspace) -> None:
    report = workspace.paths.request
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
    from pipeline.predict import load_network

    with pytest.raises(UserError, match=r"dvc repro --force --single-item register"):
        load_network("models:/tiny@champion", workspace.root)


@pytest.mark.slow
def test_the_older_champion_is_judged_on_a_fixed_number_of_threads(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.backend import runtime

    given: list[int] = []
    monkeypatch.setattr(runtime, "configure", given.append)
    workspace.threads = 3
    workspace.register()
    assert given == [3]


def test_dvc_gives_register_the_threads_and_never_skips_it_for_the_run_cache() -> None:
    from ruamel.yaml import YAML

    stage = YAML(typ="safe").load(Path(__file__).parents[2] / "dvc.yaml")["stages"]["register"]
    assert stage["params"] == ["evaluate", "register", "seed", "training.threads"]
    assert "models/architecture.yaml" not in stage["deps"]
    assert stage["outs"] == [{"models/registration.json": {"persist": True}}]  # DVC's run cache leaves these alone


def test_without_a_server_nothing_is_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{_free_port()}")
    with pytest.raises(UserError, match="does not answer"):
        workspace.register()
    assert not workspace.paths.report.exists()


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
def test_other_formats_answer_as_keras_does(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.mlflow_server.connection import connect

    workspace.exports = ("onnx", "litert")
    report = workspace.register()
    assert report["exports"].keys() == {"onnx", "litert"}
    assert all(difference < 1e-5 for difference in report["exports"].values())
    told = capsys.readouterr().out
    for name in ("model.onnx", "model.tflite"):
        assert (workspace.paths.exports / name).stat().st_size > 100
        assert f"{name}: no probability differs by more than " in told
    client = connect(workspace.root).client
    run_id = client.get_model_version("tiny", "1").run_id
    assert {file.path for file in client.list_artifacts(run_id, "exports")} == {
        "exports/model.onnx", "exports/model.tflite"
    }  # fmt: skip


def test_a_format_whose_package_is_missing_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    workspace.exports = ("onnx",)
    with pytest.raises(
        UserError, match=r"register\.exports: onnx needs the Python package onnxruntime.*make extras EXTRAS=onnx"
    ):
        workspace.register()


@pytest.mark.slow
def test_a_rollback_gives_the_alias_back_and_keeps_the_history(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.registry.champion_history import read_history

    shutil.copy(PARAMS, workspace.root)
    workspace.name = load_params(PARAMS).register_.name
    for bias in (4.0, 2.0, 0.0):
        workspace.network(bias=bias)
        workspace.register()
    assert workspace.aliases() == {"champion": 3}
    monkeypatch.setattr(sys, "argv", ["fovea rollback"])
    rollback("fovea rollback")
    assert workspace.aliases() == {"champion": 2}
    assert "version 2 is champion again, rolled back from version 3" in capsys.readouterr().out
    workspace.register()  # of version 3, which is decided
    assert workspace.aliases() == {"champion": 2}
    rollback("fovea rollback")
    assert workspace.aliases() == {"champion": 1}
    with pytest.raises(UserError, match="must have had another champion to go back to, but version 1 is the first one"):
        rollback("fovea rollback")
    history = read_history(workspace.registry())
    assert [(each.version, each.rollback) for each in history] == [
        (1, False), (2, False), (3, False), (2, True), (1, True)
    ]  # fmt: skip
    assert "of the champion, version 1" in history[1].reason
    three = next(version for version in workspace.versions() if version.number == 3)
    assert three.tags["rolled_back"].endswith("to version 2")


@pytest.mark.slow
def test_a_rollback_passes_by_a_version_that_was_deleted(workspace: Workspace) -> None:
    from pipeline.registry.champion_history import roll_back

    for bias in (4.0, 2.0, 0.0):
        workspace.network(bias=bias)
        workspace.register()
    registry = workspace.registry()
    registry.server.client.delete_model_version(workspace.name, "2")
    roll_back(registry)
    assert workspace.aliases() == {"champion": 1}


@pytest.mark.slow
def test_a_champion_moved_by_hand_is_part_of_the_history(workspace: Workspace) -> None:
    from pipeline.registry.champion_history import read_history, roll_back

    workspace.register()
    workspace.network(bias=2.0)
    workspace.register()
    workspace.move("champion", 2)
    roll_back(workspace.registry())
    assert workspace.aliases()["champion"] == 1
    assert [each.version for each in read_history(workspace.registry())] == [1, 2, 1]


@pytest.mark.slow
def test_a_rollback_passes_by_what_the_gate_deposed(workspace: Workspace) -> None:
    from pipeline.registry.champion_history import read_history, roll_back

    workspace.network(bias=2.0)
    workspace.register()
    workspace.network(bias=0.0)
    workspace.register()
    workspace.gate = ("accuracy > 1",)
    workspace.register()
    assert "champion" not in workspace.aliases()
    roll_back(workspace.registry())
    assert workspace.aliases()["champion"] == 1
    assert [(each.version, each.ended) for each in read_history(workspace.registry())] == [
        (1, False), (2, False), (2, True), (1, False)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_champion_of_before_the_code_was_served_with_it_is_compared_with(workspace: Workspace) -> None:
    """Such a version is of MLflow's Keras flavour, and has no familiarity."""
    from pipeline.registry.versions import fetched

    workspace.network(bias=2.0)
    workspace.register()
    registry = workspace.registry()
    champion = registry.champion()
    assert champion is not None
    with fetched(champion.uri) as folder:
        old = shutil.copytree(folder, workspace.root / "old" / "data")
    (old / "familiarity.npz").unlink()
    made = registry.server.client.create_model_version(
        workspace.name, old.parent.as_uri(), tags={**champion.tags, "model_digest": "old"}
    )
    registry.server.client.set_registered_model_alias(workspace.name, "champion", made.version)
    workspace.network(bias=0.0)
    report = workspace.register()
    assert report["champion_comparison"]["version"] == int(made.version)
    assert workspace.aliases()["champion"] == 3


@pytest.mark.slow
def test_the_champion_is_fetched_without_a_word(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    from pipeline.registry.versions import fetched_from

    workspace.register()
    capfd.readouterr()
    with fetched_from(f"models:/{workspace.name}@champion", workspace.root) as folder:
        assert (folder / "model.keras").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told_with_those_that_have_a_champion(workspace: Workspace) -> None:
    from pipeline.registry.versions import fetched_from

    workspace.register()
    said = r"models:/other@champion: not found in MLflow .* such as models:/tiny@champion$"
    with pytest.raises(UserError, match=said), fetched_from("models:/other@champion", workspace.root):
        pass


def test_a_rollback_without_a_champion_is_told(workspace: Workspace) -> None:
    from pipeline.registry.champion_history import roll_back

    with pytest.raises(UserError, match="there was never one"):
        roll_back(workspace.registry())


def post(port: int, content: object, kind: str = "application/json") -> tuple[int, Any]:
    """Status and answer of the served model."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_the_champion_answers_over_http_as_it_does_here(workspace: Workspace, server: str, tmp_path: Path) -> None:
    from pipeline.predict import load_network

    workspace.register()
    network = load_network("models:/tiny@champion", workspace.root)
    images = workspace.images()
    expected = network.classify(images)
    assert expected.unfamiliar is not None
    port = _free_port()
    options = ["--model-uri", "models:/tiny@champion", "--env-manager", "local", "--host", "127.0.0.1"]
    elsewhere = tmp_path / "elsewhere"  # where nothing of the project can be imported from
    elsewhere.mkdir()
    with _running("models", "serve", *options, "--port", str(port), cwd=elsewhere) as log:
        _await(f"http://127.0.0.1:{port}/health")
        status, answer = post(port, {"inputs": images.tolist()})
        assert status == 200
        told = answer["predictions"]
        served = np.array([[each["probabilities"][name] for name in workspace.classes] for each in told])
        np.testing.assert_allclose(served, expected.probabilities, atol=1e-6)
        assert [each["label"] for each in told] == [
            workspace.classes[label] for label in np.tile(np.repeat([0, 1], 5), workspace.copies)
        ]
        assert [each["unfamiliar"] for each in told] == expected.unfamiliar.tolist()

        assert post(port, {"instances": images[..., 0].tolist()})[1] == answer
        files = [base64.b64encode(encoded(image)).decode() for image in images]
        assert post(port, {"inputs": files})[1] == answer
        assert post(port, {"instances": [{"image": file} for file in files]})[1] == answer
        assert post(port, {"dataframe_split": {"columns": ["image"], "data": [[file] for file in files]}})[1] == answer

        refused: list[tuple[object, str]] = [
            ({"inputs": []}, "at least one image"),
            ({"inputs": [[[1, 2], [3, 4]]]}, "input 0 must have the shape"),
            ({"inputs": [files[0], "no base64!"]}, "input 1 must be an image file in base64"),
            ({"inputs": [base64.b64encode(b"no image").decode()]}, "input 0: must be a PNG"),
            ({"inputs": [[["a"] * 4] * 4]}, "nested lists of numbers"),
            ({"inputs": [[[1, 2], [3]]]}, "nested lists of numbers"),
            ({"images": files}, "inputs"),
            (b"{", "JSON"),
        ]
        for content, reason in refused:
            status, text = post(port, content)
            assert 400 <= status < 500, (content, status, text)
            assert reason in text, (content, text)
        assert post(port, b"x", "text/html")[0] == 415
        assert post(port, {"inputs": images.tolist()})[0] == 200
        log.seek(0)
        said = log.read()
        assert "Uvicorn running" in said
        assert not re.search("warning", said, re.IGNORECASE)
    assert not (workspace.root / "mlflow.db").exists()


HOST_APPLICATION = """
import pipeline, pipeline.errors  # its own
import json, sys, warnings
import numpy as np
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
loaded = [mlflow.pyfunc.load_model(f"models:/tiny/{version}") for version in (1, 2)]
images = np.load("images.npy")
answers = [model.predict(images) for model in loaded]
assert loaded[0].predict(np.array(json.load(open("files.json")), dtype=object)) == answers[0]
assert pipeline.errors.NAME == "the host's own"
assert [name for name in sys.modules if name.startswith("pipeline")] == ["pipeline", "pipeline.errors"]
print(json.dumps([[each["label"] for each in answer] for answer in answers]))
"""


@pytest.mark.slow
def test_an_application_with_a_module_pipeline_of_its_own_loads_versions_without_a_warning(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.register()
    workspace.network(bias=4.0)
    workspace.register()
    host = tmp_path / "host"
    (host / "pipeline").mkdir(parents=True)
    (host / "pipeline/__init__.py").touch()
    (host / "pipeline/errors.py").write_text('NAME = "the host\'s own"\n')
    (host / "main.py").write_text(HOST_APPLICATION)
    np.save(host / "images.npy", workspace.images())
    files = [base64.b64encode(encoded(image)).decode() for image in workspace.images()]
    (host / "files.json").write_text(json.dumps(files))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "main.py", f"sqlite:///{workspace.root}/mlflow.db"],
        cwd=host,
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert first == [workspace.classes[label] for label in np.tile(np.repeat([0, 1], 5), workspace.copies)]
    assert second.count("upper") > first.count("upper")
    assert not re.search("warning", done.stderr, re.IGNORECASE)


@pytest.mark.slow
def test_a_version_says_what_it_takes_and_gives_by_name_and_type(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    workspace.register()
    workspace.registry()
    signature = get_model_info("models:/tiny/1").signature
    assert [(spec["name"], spec["type"]) for spec in signature.inputs.to_dict()] == [("image", "tensor")]
    assert [(spec["name"], spec["type"]) for spec in signature.outputs.to_dict()] == [
        ("label", "string"), ("probability", "double"), ("probabilities", "map"), ("unfamiliar", "boolean")
    ]  # fmt: skip


def encoded(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image[..., 0]).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def _running(*command: str, cwd: Path) -> Iterator[IO[str]]:
    """An mlflow command, with all its processes, for the length of a block; gives what it writes to stderr."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            cwd=cwd,
            env=os.environ | {"PATH": path, "PYTHONWARNINGS": "ignore", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(address: str) -> None:
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
