"""dvc.lock and machine.lock of another form."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.commands.machine_lock import DVC_LOCK, MACHINE_LOCK, explain_differences, record_machine
from pipeline.tracking.environment import describe_environment
from search.estimate.plan import require_prepared
from tests.conftest import ROOT

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("data/prepared")
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS.map(str), inner))
ITEM = ANYTHING | st.fixed_dictionaries({"path": SCALARS}, optional={"md5": ANYTHING, "size": ANYTHING})
STAGE = ANYTHING | st.fixed_dictionaries(
    {}, optional={"cmd": ANYTHING, "deps": ANYTHING | st.lists(ITEM), "outs": ANYTHING | st.lists(ITEM)}
)
LOCK = ANYTHING | st.fixed_dictionaries(
    {"stages": ANYTHING | st.dictionaries(st.sampled_from(["prepare", "x"]), STAGE)}
)

# Anchors that contain ten aliases of the anchor before, twenty levels deep.
BOMB = "stages: {prepare: {outs: [{path: data/x, md5: &a0 [x]}, " + ", ".join(
    f"{{path: data/x, md5: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]}}" for level in range(1, 21)
)  # fmt: skip
BOMB += "]}}"


def use(text: bytes) -> None:
    """Do what stages and commands do with the two files."""
    DVC_LOCK.write_bytes(text)
    MACHINE_LOCK.write_bytes(text)
    describe_environment(Path())
    record_machine("")
    record_machine(text.decode("utf-8", "replace"))
    explain_differences()
    require_prepared(ROOT / "params.yaml")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=LOCK)
def test_a_dvc_lock_of_another_form_is_ignored(content: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Edited or foreign content of `dvc.lock` and `machine.lock` ends no stage; DVC itself reports what it cannot read.

    Generates documents that differ from the schema at random places, and uses them as stages and commands do.
    """
    monkeypatch.chdir(tmp_path)
    use(json.dumps(content).encode())


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe", b"a: [", b"&a [*a]", b"\x00", b"[" * 200, b"stages: !!python/none", b"- 1",
        b"stages: {prepare: {cmd: !!int ''}}", b"stages: !!bool x", BOMB.encode(),
    ],
)  # fmt: skip
def test_a_damaged_dvc_lock_is_ignored(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `dvc.lock` that is no YAML ends no stage.

    Writes bytes that are not UTF-8, YAML that is truncated, refers to itself, expands to more than memory holds, is
    nested deeply, or has foreign or empty tags.
    """
    monkeypatch.chdir(tmp_path)
    use(text)
