"""Processes of studies that are killed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import create_engine, inspect
from sqlalchemy.schema import CreateTable

from tests.conftest import ROOT
from tests.search.harness import StudyHarness


@pytest.mark.parametrize("kills", [pytest.param(10, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.long)])
def test_studies_killed_at_random_moments_lose_no_rung_and_end_like_an_undisturbed_one(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    """However the driver or the workers of a study are killed, the next run goes on: no finished rung is trained again,
    no trial is counted twice, the total is exact, and the table and the winner are those of an undisturbed study.

    Sends SIGKILL to the driver, to a worker and to all processes at once at random moments. The driver also kills
    itself within a transaction, within the write of a state, and between the creation of a trial and its first rung.
    10 such kills in `make test`, 100 in `make soak`; between them SIGTERM and SIGINT.
    """
    command = [sys.executable, "-m", "tests.faults.study_killer", str(tmp_path), str(kills), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == kills
    assert len(found["of each kind"]) >= 6
    record_property("measured", f"{kills} kills in {found['studies']} studies")
    assert (found["finished rungs lost"], found["trials counted twice"], found["studies that differ"]) == (0, 0, 0)


def test_a_database_whose_creation_was_killed_is_completed(tmp_path: Path) -> None:
    """A study goes on if its first process was killed while it created the tables of the database.

    Creates one of the tables, without its indexes, as a killed process leaves it, and runs a study.
    """
    harness = StudyHarness(tmp_path, trials=2)
    engine = create_engine(harness.address)
    with engine.begin() as connection:
        connection.execute(CreateTable(BaseModel.metadata.tables["studies"]))
    assert len(harness.run().splitlines()) == 3
    (index,) = inspect(engine).get_indexes("studies")  # without it, two studies could have the same name
    assert index["unique"]
    engine.dispose()
