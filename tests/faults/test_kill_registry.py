"""Registrations that are killed."""

import signal

import pytest

from tests.faults.registration import start
from tests.pipeline.registration import Workspace

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


@pytest.mark.slow
def test_a_registration_killed_before_assigning_its_alias_is_completed_by_the_next(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registration that ends between the version and its alias is completed by the next, without a second version.

    Interrupts the stage where it assigns the alias, and runs it again.
    """
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
def test_a_decision_that_was_interrupted_is_made_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """A changed decision that was interrupted is made again, and is carried out completely.

    Interrupts a demotion where it updates the version, and where it assigns the alias, and runs the stage again.
    """
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
    assert "it now violates" in workspace.description(1)


@pytest.mark.long
@pytest.mark.parametrize("method", ["add", "assign", "tag"])
def test_a_registration_killed_by_a_signal_is_completed_by_the_next(workspace: Workspace, method: str) -> None:
    """A registration that is killed at any step is completed by the next, and the network has one version.

    Kills the process with SIGKILL after the version was created, before the alias, and before the decision is recorded.
    """
    workspace.write()
    after = "made = original(self, *given)" if method == "add" else "pass"
    patch = f"""
import os, signal
original = Registry.{method}
def kill(self, *given):
    {after}
    os.kill(os.getpid(), signal.SIGKILL)
Registry.{method} = kill
"""
    process = start(workspace.root, patch)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(workspace.versions()) == 1
    assert workspace.register()["version"] == 1
    assert workspace.aliases() == {"champion": 1}
    assert [version.number for version in workspace.versions()] == [1]


@pytest.mark.slow
def test_a_decision_that_was_interrupted_while_it_was_counted_is_counted_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision of the gate counts once, at whatever step it was interrupted, and an edited count stops no decision.

    Interrupts the stage before and after it counts its decision, and runs it again; then sets the count to `two`.
    """
    from pipeline.registry.versions import Registry

    original = Registry.tag_model

    def before(registry: Registry, name: str, value: str) -> None:
        if name.startswith("fovea.decisions"):
            raise KeyboardInterrupt
        original(registry, name, value)

    def after(registry: Registry, name: str, value: str) -> None:
        original(registry, name, value)
        if name.startswith("fovea.decisions"):
            raise KeyboardInterrupt

    for killed in (before, after):
        with monkeypatch.context() as patched:
            patched.setattr(Registry, "tag_model", killed)
            with pytest.raises(KeyboardInterrupt):
                workspace.register()
    assert workspace.register()["test_split"]["decisions"] == 1
    (tag,) = (name for name in workspace.registry().tags() if name.startswith("fovea.decisions"))
    workspace.registry().tag_model(tag, "two")
    assert workspace.register()["test_split"]["decisions"] == 1
    workspace.gate = ("accuracy >= 0.6",)
    assert workspace.register()["test_split"]["decisions"] == 2
    assert workspace.registry().tags()[tag] == "2"
