"""The history of champions, and rolling back to an earlier one."""

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.commands.mlflow import rollback
from pipeline.errors import UserError
from pipeline.sections.load import load_params
from tests.pipeline.registration import PARAMS, Workspace

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.mark.slow
def test_a_rollback_restores_the_alias_and_keeps_the_history(
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
    workspace.register()  # version 3, for which a decision exists
    assert workspace.aliases() == {"champion": 2}
    rollback("fovea rollback")
    assert workspace.aliases() == {"champion": 1}
    with pytest.raises(UserError, match="rollback requires an earlier champion, but there is none to return to"):
        rollback("fovea rollback")
    history = read_history(workspace.registry())
    assert [(each.version, each.rollback) for each in history] == [
        (1, False), (2, False), (3, False), (2, True), (1, True)
    ]  # fmt: skip
    assert "for the champion (version 1)" in history[1].reason
    three = next(version for version in workspace.versions() if version.number == 3)
    assert three.tags["rolled_back"].endswith("to version 2")


@pytest.mark.slow
def test_a_rollback_skips_a_deleted_version(workspace: Workspace) -> None:
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
def test_a_rollback_skips_a_version_that_the_gate_demoted(workspace: Workspace) -> None:
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
def test_a_champion_from_before_versions_contained_code_can_be_compared_with(workspace: Workspace) -> None:
    """Such a version has MLflow's Keras flavour and no out-of-distribution detector."""
    from pipeline.registry.artifacts import fetched

    workspace.network(bias=2.0)
    workspace.register()
    registry = workspace.registry()
    champion = registry.champion()
    assert champion is not None
    with fetched(champion.uri) as folder:
        old = shutil.copytree(folder, workspace.root / "old" / "data")
    (old / "ood_detector.npz").unlink()
    made = registry.server.client.create_model_version(
        workspace.name, old.parent.as_uri(), tags={**champion.tags, "model_digest": "old"}
    )
    registry.server.client.set_registered_model_alias(workspace.name, "champion", made.version)
    workspace.network(bias=0.0)
    report = workspace.register()
    assert report["champion_comparison"]["version"] == int(made.version)
    assert workspace.aliases()["champion"] == 3


@pytest.mark.slow
def test_fetching_the_champion_prints_nothing(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    from pipeline.registry.artifacts import fetched_from

    workspace.register()
    capfd.readouterr()
    with fetched_from(f"models:/{workspace.name}@champion", workspace.root) as folder:
        assert (folder / "model.keras").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_missing_model_is_reported_with_the_models_that_have_a_champion(workspace: Workspace) -> None:
    from pipeline.registry.artifacts import fetched_from

    workspace.register()
    message = r"models:/other@champion: not found in MLflow .* such as models:/tiny@champion$"
    with pytest.raises(UserError, match=message), fetched_from("models:/other@champion", workspace.root):
        pass


def test_a_rollback_without_a_champion_is_refused(workspace: Workspace) -> None:
    from pipeline.registry.champion_history import roll_back

    with pytest.raises(UserError, match="there is none to return to"):
        roll_back(workspace.registry())
