"""Several registrations at the same moment."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import UserError
from tests.faults.registration import start
from tests.faults.tracking_server import quick_tracking_server
from tests.pipeline.registration import Workspace
from tests.ports import free_port

if TYPE_CHECKING:
    from pipeline.registry.versions import Version

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of mlflow's own imports


def test_a_registration_that_stands_still_ends_the_wait_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A registration waits for another one for ten minutes at most, and says what it waits for.

    Holds the lock of the registration; the limit is lowered to 0.2 s.
    """
    from pipeline.registry import lock as registry_lock

    monkeypatch.setattr(registry_lock, "_MAX_WAIT", 0.2)
    server: Any = SimpleNamespace(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with registry_lock.only_registration(server, "tiny"):
        with pytest.raises(
            UserError, match=r"\.lock: must be locked .* more than 0\.2 s; stop the process that holds it"
        ):
            registry_lock.only_registration(server, "tiny").__enter__()
        with registry_lock.only_registration(server, "other"):
            pass
    with registry_lock.only_registration(server, "tiny"):
        pass
    assert capsys.readouterr().out.count("another process is registering tiny; waiting") == 1


@pytest.mark.slow
def test_two_registrations_on_one_machine_create_one_version(workspace: Workspace) -> None:
    """Two registrations of one network at the same moment create one version; the second waits for the first.

    Starts the stage in a second process while this one registers the same network.
    """
    from pipeline.registry import lock as registry_lock

    workspace.register()
    workspace.network(bias=0.1)
    workspace.write()
    with registry_lock.only_registration(workspace.registry().server, "tiny"):
        other = start(workspace.root)
        assert other.stdout is not None
        printed = [other.stdout.readline()]
        while printed[-1] and not printed[-1].startswith("another process is registering tiny"):
            printed.append(other.stdout.readline())
        assert printed[-1], printed
        with pytest.MonkeyPatch.context() as patched:  # this process holds the lock already
            patched.setattr(registry_lock, "only_registration", lambda *_: nullcontext())
            workspace.register()
    printed.append(other.communicate()[0])
    assert other.returncode == 0
    assert [version.number for version in workspace.versions()] == [2, 1]
    assert "already registered as tiny version 2" in printed[-1]


@pytest.mark.slow
def test_a_registration_that_another_machine_overtook_creates_no_second_version(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network has one version, even if another machine registered it after this one had looked for it.

    Registers a network that is registered already, with an answer of the registry from before.
    """
    from pipeline.registry.versions import Registry

    workspace.register()

    def find(registry: Registry, **tags: str) -> "Version | None":
        return None

    monkeypatch.setattr(Registry, "find", find)
    assert workspace.register()["version"] == 1
    assert [version.number for version in workspace.versions()] == [1]
    assert workspace.aliases() == {"champion": 1}


@pytest.mark.slow
@pytest.mark.parametrize("served", [False, True], ids=["without an alias", "with an alias"])
def test_a_second_version_that_a_killed_registration_left_is_deleted_unless_it_has_an_alias(
    workspace: Workspace, served: bool
) -> None:
    """One network has one version, even if a registration was killed before it saw that of another machine.

    Creates a second version of the network in MLflow, with a decision that was not carried out, and runs the stage. A
    version with an alias stays.
    """
    workspace.register()
    client = workspace.registry().server.client
    first = client.get_model_version("tiny", "1")
    decision = json.dumps(workspace.decision(1) | {"carried_out": False})
    tags = first.tags | {"fovea.decision": decision}
    client.create_model_version("tiny", first.source, first.run_id, tags=tags, model_id=first.model_id)
    if served:
        workspace.move("champion", 2)
    assert workspace.decide()["version"] == (2 if served else 1)
    assert [version.number for version in workspace.versions()] == ([2, 1] if served else [1])
    assert workspace.aliases() == {"champion": 2 if served else 1}


# Both processes wait for each other after they have looked for a version of the network.
MEET = """
import os
import time
add = Registry.add
def meet(self, *given):
    Path("arrived", str(os.getpid())).touch()
    while len(list(Path("arrived").iterdir())) < 2:
        time.sleep(0.01)
    return add(self, *given)
Registry.add = meet
"""


@pytest.mark.long
def test_two_machines_that_register_one_network_create_one_version(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path
) -> None:
    """Two machines that register one network at the same moment create one version, which has the alias.

    Starts two processes that share a tracking server but no temporary folder, and thus no lock. Each looks for the
    version before the other creates it.
    """
    (server := tmp_path / "server").mkdir()
    port = free_port()
    with quick_tracking_server(server, port, empty_database):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        workspace.write()
        (workspace.root / "arrived").mkdir()
        for name in "ab":
            (tmp_path / name).mkdir()
        processes = [start(workspace.root, MEET, TMPDIR=str(tmp_path / name)) for name in "ab"]
        outputs = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert len(workspace.versions()) == 1
        assert workspace.aliases() == {"champion": workspace.versions()[0].number}
