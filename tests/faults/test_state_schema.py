"""Databases of studies with the tables of other versions of Optuna."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage, _rdb
from sqlalchemy import NullPool, create_engine, text

from pipeline.errors import UserError
from search.dashboard import serve
from search.status import open_to_read
from search.storage.database import open_storage
from tests.search.harness import StudyHarness

SCRIPTS = ScriptDirectory(str(Path(_rdb.__file__).parent / "alembic"))
*OLDER, CURRENT = (each.revision for each in reversed(list(SCRIPTS.walk_revisions())))
STUDY = (
    "INSERT INTO studies VALUES (1, 'study', 'MAXIMIZE')",
    "INSERT INTO trials (trial_id, study_id, state, value) VALUES (1, 1, 'COMPLETE', 0.5)",
    "INSERT INTO version_info VALUES (1, 12, '0.9.0')",
)
COMMANDS: dict[str, Callable[[Path], object]] = {
    "search": lambda file: StudyHarness(file.parent, trials=1).run(),
    "status": lambda file: open_to_read("study", f"sqlite:///{file}"),
    "dashboard": lambda file: serve(f"sqlite:///{file}", 0),
}


def older_database(file: Path, revision: str) -> None:
    """Create a database with a study of one trial as the first Optuna with versioned tables, and migrate it."""
    with create_engine(f"sqlite:///{file}", poolclass=NullPool).begin() as connection:

        def migrate(target: str) -> None:
            steps = {"fn": lambda current, _: SCRIPTS._upgrade_revs(target, current)}
            context = MigrationContext.configure(connection, opts=steps)
            with Operations.context(context):
                context.run_migrations()

        migrate(OLDER[0])
        for statement in STUDY:
            connection.execute(text(statement))
        migrate(revision)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def require_refused(file: Path, command: str, message: str) -> None:
    before = content(file.parent)
    where = re.escape(f"params.yaml: search.storage: must be a database that can be opened, got sqlite:///{file}: ")
    with pytest.raises(UserError, match=where + message):
        COMMANDS[command](file)
    assert content(file.parent) == before


@pytest.mark.parametrize(
    "revision", [pytest.param(each, marks=[] if each in (OLDER[0], OLDER[-1]) else pytest.mark.long) for each in OLDER]
)
def test_the_tables_of_an_older_optuna_are_refused_and_upgraded_as_the_message_says(
    tmp_path: Path, revision: str
) -> None:
    """`search`, `fovea status` and `fovea dashboard` refuse a database of an older Optuna with one message, which names
    the command that upgrades it, and leave its bytes as they are. After that command, the studies can be read.

    Creates a study with the tables of each earlier version, by the migrations that Optuna contains. `make test` takes
    the oldest and the newest of them.
    """
    older_database(file := tmp_path / "optuna.db", revision)
    address = f"sqlite:///{file}"
    for command in COMMANDS:
        require_refused(
            file,
            command,
            rf"its tables are of an older Optuna than the installed {optuna.__version__}; copy it and run `optuna "
            rf"storage upgrade --storage {re.escape(address)}`, or use another database$",
        )
    RDBStorage(address, skip_compatibility_check=True).upgrade()  # as that command does
    assert [trial.value for trial in open_to_read("study", address).trials] == [0.5]
    open_storage(address)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tables_of_a_newer_optuna_are_refused(tmp_path: Path, command: str) -> None:
    """`search`, `fovea status` and `fovea dashboard` refuse a database of a newer Optuna with one message, and leave
    its bytes as they are.

    Adds a column to the tables of the installed version, and sets an unknown version.
    """
    older_database(file := tmp_path / "optuna.db", CURRENT)
    with closing(sqlite3.connect(file)) as database:
        database.execute("ALTER TABLE trials ADD COLUMN priority INTEGER NOT NULL DEFAULT 0")
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
        database.commit()
    require_refused(
        file, command, rf"its tables are of a newer Optuna than the installed {optuna.__version__}; update this project"
    )
