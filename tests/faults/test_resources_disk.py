"""Stages on a full disk."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import clone
from tests.faults.small_project import OUTPUTS, require_equal_outputs, run_on_small_disk


def require_clear_end(result: Path) -> None:
    """The first run ended with one line that names the remedy, and left no temporary file; the second one worked."""
    printed = (result / "first.log").read_text()
    assert (result / "first").read_text().strip() == "1", printed
    assert "Traceback" not in printed
    assert re.search(
        r"^error: .*(No space left on device|disk is full).*free (some )?disk space", printed, re.MULTILINE
    )
    assert (result / "left").read_text() == ""
    assert (result / "second").read_text().strip() == "0", (result / "second.log").read_text()


@pytest.mark.slow
def test_prepare_on_a_full_disk_ends_with_one_line_and_keeps_the_old_data(tmp_path: Path) -> None:
    """If the disk fills up while data are prepared, one line says so, and the old data stay as they were.

    Runs `prepare` on a file system in memory with 100 kB of room, then with enough.
    """
    project = clone(tmp_path / "project")
    for output in OUTPUTS["pipeline.prepare"]:
        (project.root / output).mkdir(parents=True)
        (project.root / output / "old").touch()
    result = run_on_small_disk(project.root, "pipeline.prepare", OUTPUTS["pipeline.prepare"], 100, tmp_path, keep=True)
    require_clear_end(result)
    assert (result / "kept").read_text().split() == [f"{output}/old" for output in OUTPUTS["pipeline.prepare"]]


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("search", 0), ("search", 250), ("search", 900), ("pipeline.train", 0), ("pipeline.train", 100),
        ("pipeline.evaluate", 30), ("pipeline.evaluate", 200), ("pipeline.evaluate", 900), ("pipeline.register", 0),
    ],
)  # fmt: skip
def test_any_stage_on_a_full_disk_ends_with_one_line_and_then_goes_on_to_the_same_bytes(
    finished: Path, tmp_path: Path, module: str, room: int
) -> None:
    """If the disk fills up while a stage writes data, states, reports, logs or the database, one line says so, and the
    next run produces the same bytes.

    Runs each stage on a file system in memory with several amounts of room, then with enough, and compares the outputs
    with those of an undisturbed run.
    """
    result = run_on_small_disk(finished, module, OUTPUTS[module], room, tmp_path)
    require_clear_end(result)
    require_equal_outputs(module, finished, lambda output: result / Path(output).name)
    shutil.rmtree(result)
