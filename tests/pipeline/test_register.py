"""The stage register: versions, runs, decisions."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.errors import UserError
from tests.pipeline.registration import Workspace
from tests.ports import free_port

if TYPE_CHECKING:
    from pipeline.registry.versions import Registry, Version


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.mark.slow
def test_the_first_network_becomes_champion(workspace: Workspace) -> None:
    workspace.register()
    assert workspace.aliases() == {"champion": 1}
    assert workspace.decision(1)["reason"] == "there is no current champion"
    (version,) = workspace.versions()
    assert version.tags["accuracy"] == "1.0"
    assert version.tags["test_digest"] == workspace.test().digest


@pytest.mark.slow
def test_a_version_has_example_requirements_and_classes(workspace: Workspace) -> None:
    from mlflow.models import get_model_info

    from pipeline.registry.logged_model import REQUIREMENTS

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
    from pipeline.tracking.publisher import MlflowPublisher

    workspace.register()
    server = connect(workspace.root)
    version = server.client.get_model_version_by_alias("tiny", "champion")
    run = MlflowPublisher(server, workspace.root).find("training")
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
def test_a_decision_recorded_with_the_keys_of_an_older_version_is_recognized(workspace: Workspace) -> None:
    workspace.register()
    former = {"promote_if": "replace", "confidence_level": "confidence", "metrics": "figures"}
    decision = {former.get(key, key): value for key, value in workspace.decision(1).items()}
    (version,) = workspace.versions()
    workspace.registry().tag(version, "fovea.decision", json.dumps(decision))
    workspace.register()
    assert workspace.decision(1) == decision  # not repeated


@pytest.mark.slow
def test_outputs_that_are_links_are_registered(workspace: Workspace) -> None:
    """DVC creates such links with cache.type symlink."""
    from pipeline.registry import versions as registry
    from pipeline.registry.artifacts import fetched_from

    workspace.register()
    workspace.network(bias=0.1)
    add = registry.Registry.add

    def linked(self: "Registry", network: Path, ood_detector: Path, *rest: Any) -> "Version":
        for path in (network, ood_detector):
            path.replace(cached := workspace.root / f"cache-{path.suffix[1:]}")
            path.symlink_to(cached)
        return add(self, network, ood_detector, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(registry.Registry, "add", linked)
        workspace.register()
    assert workspace.paths.model.is_symlink()
    with fetched_from("models:/tiny/2", workspace.root) as folder:
        assert {"model.keras", "ood_detector.npz"} <= {path.name for path in folder.rglob("*")}
        assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert workspace.versions()[0].number == 2


@pytest.mark.slow
def test_networks_and_decisions_on_a_test_split_are_counted(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.network(bias=2.0)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 1}
    expected = "Apart from runners-up, no other network has been evaluated on this test split so far."
    assert expected in capsys.readouterr().out
    workspace.network(bias=3.0)
    assert workspace.register()["test_split"] == {"networks": 2, "decisions": 2}
    output = capsys.readouterr().out
    assert "2 networks, not counting runners-up, have been evaluated on this test split so far" in output
    assert "the gate has used it for 2 decisions" in output
    assert workspace.register()["test_split"] == {"networks": 2, "decisions": 2}  # no new decision was made
    workspace.version = 1
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 1}
    capsys.readouterr()
    workspace.gate = ("accuracy >= 0.6",)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 2}
    assert "evaluated on this test split so far, but the gate has used it for 2 decisions" in capsys.readouterr().out
    model = workspace.registry().server.client.get_registered_model(workspace.name)  # as in a new database
    for tag in [tag for tag in model.tags if tag.startswith("fovea.decisions.")]:
        workspace.registry().server.client.delete_registered_model_tag(workspace.name, tag)
    assert workspace.register()["test_split"] == {"networks": 1, "decisions": 2}


@pytest.mark.slow
def test_usage_is_counted_across_clones_with_a_database_and_per_clone_without_one(workspace: Workspace) -> None:
    from pipeline.registry.split_usage import add_evaluation, count_usage

    digest = workspace.test().digest
    workspace.register()
    elsewhere = workspace.root / "another clone"
    assert count_usage(workspace.registry(), elsewhere, digest, "another").networks == 2
    add_evaluation(workspace.root, digest, "one")
    alone = count_usage(None, workspace.root, digest, "another")
    assert (alone.networks, alone.decisions) == (3, 1)
    assert "counted in this clone only, since MLflow is not available" in alone.sentence(0.9, 100)


def test_the_selection_gain_bounds_how_much_better_the_best_of_equal_networks_looks() -> None:
    from pipeline.registry.split_usage import selection_gain

    hits = np.random.default_rng(0).binomial(300, 0.9, size=(4000, 10)) / 300
    gain = hits.max(axis=1).mean() - 0.9
    assert 0.6 * selection_gain(10, 0.9, 300) < gain < selection_gain(10, 0.9, 300)
    assert selection_gain(1, 0.9, 300) == 0.0


@pytest.mark.slow
def test_a_moved_project_finds_its_models_and_registers_more(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.registry.artifacts import fetched_from

    workspace.register()
    files = {path.relative_to(workspace.root) for path in (workspace.root / "mlartifacts").rglob("*")}
    monkeypatch.chdir(workspace.root.parent)
    workspace.root = workspace.root.rename(workspace.root.with_name(f"{workspace.root.name} moved"))
    monkeypatch.chdir(workspace.root)
    capsys.readouterr()
    with fetched_from("models:/tiny@champion", workspace.root) as folder:
        assert (folder / "model.keras").is_file()
    assert "the project was moved or copied" in capsys.readouterr().out
    workspace.network(bias=2.0)
    assert workspace.register()["champion_comparison"]["version"] == 1
    assert "the project was moved or copied" not in capsys.readouterr().out
    assert {path.relative_to(workspace.root) for path in (workspace.root / "mlartifacts").rglob("*")} > files
    assert workspace.versions()[0].number == 2


@pytest.mark.slow
def test_a_copied_project_writes_to_its_own_files(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_the_tracked_output_does_not_depend_on_the_history_of_the_registry(workspace: Workspace) -> None:
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


def test_a_missing_champion_suggests_running_register_alone(workspace: Workspace) -> None:
    from pipeline.predict import load_network

    with pytest.raises(UserError, match=r"dvc repro --force --single-item register"):
        load_network("models:/tiny@champion", workspace.root)


@pytest.mark.slow
def test_the_champion_is_evaluated_with_the_configured_number_of_threads(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.backend import runtime

    given: list[int] = []
    monkeypatch.setattr(runtime, "configure", given.append)
    workspace.threads = 3
    workspace.register()
    assert given == [3]


def test_register_depends_on_the_threads_and_is_never_restored_from_the_run_cache() -> None:
    from ruamel.yaml import YAML

    stage = YAML(typ="safe").load(Path(__file__).parents[2] / "dvc.yaml")["stages"]["register"]
    assert stage["params"] == ["evaluate", "register", "seed", "training.threads"]
    assert "models/architecture.yaml" not in stage["deps"]
    assert stage["outs"] == [{"models/registration.json": {"persist": True}}]  # which the run cache does not restore


def test_without_a_server_nothing_is_written(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match="does not respond"):
        workspace.register()
    assert not workspace.paths.report.exists()
