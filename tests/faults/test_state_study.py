"""Damage to the database of a study."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.cnn.candidate import write_candidate
from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.files import new_folder
from pipeline.terminal.causes import cause_outside
from search.status import Status, open_to_read
from search.storage.database import open_storage
from search.storage.lock import study_lock
from search.storage.messages import storage_errors
from search.study.job import Job, RungResult
from tests.search.harness import StudyHarness, learn

FRONT = {"objectives": ("val_accuracy", "params")}


class Killed(BaseException):
    """Simulates SIGKILL: nothing catches it."""


def resumed(folder: Path, trials: int = 4, **settings: object) -> str:
    """Run a study to its end as the stage does, and return its table."""
    harness = StudyHarness(folder, trials=trials, **settings)
    with storage_errors(harness.address):
        return harness.run()


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "optuna.db")) as database:
        for statement in statements:
            assert database.execute(statement).rowcount, statement
        database.commit()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished study of one objective, and with one of two objectives."""
    folder = tmp_path_factory.mktemp("finished")
    resumed(folder)
    resumed(folder, 5, **FRONT)
    return folder


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "study")


OF_STUDY = "WHERE study_id = 1"
OF_TRIAL = "WHERE trial_id = (SELECT trial_id FROM trials WHERE number = 1 AND study_id = 1)"
ROWS = {
    "a trial removed": (f"DELETE FROM trials {OF_TRIAL}", "trial 1 missing"),
    "the last trial removed": (f"DELETE FROM trials {OF_STUDY} AND number = 3", "trial 3 missing"),
    "all trials removed": (f"DELETE FROM trials {OF_STUDY}", "trial 0 missing, trial 1 missing, trial 2 missing"),
    "a failed trial": (f"UPDATE trials SET state = 'FAIL' {OF_TRIAL}", "trial 1 with other values"),
    "a waiting trial": (f"UPDATE trials SET state = 'WAITING' {OF_TRIAL}", "trial 1 with the state WAITING"),
    "a running trial": (f"UPDATE trials SET state = 'RUNNING' {OF_TRIAL}", "trial 1 with the state RUNNING"),
    "an unknown state": (f"UPDATE trials SET state = 'DONE' {OF_TRIAL}", "rows that Optuna cannot read"),
    "another number": (f"UPDATE trials SET number = 9 {OF_STUDY} AND number = 3", "trial 3 missing"),
    "no user attributes": (
        "DELETE FROM trial_user_attributes WHERE trial_id < 5",
        "trial 0 with other values, trial 1 with other values, trial 2 with other values, trial 3 with other values",
    ),
    "no system attributes": (f"DELETE FROM trial_system_attributes {OF_TRIAL}", "got trial 1 with other values"),
    "another cost": (
        f"UPDATE trial_user_attributes SET value_json = '{{}}' {OF_TRIAL} AND key = 'cost'",
        "got trial 1 with other values",
    ),
    "half an attribute": (
        f"UPDATE trial_user_attributes SET value_json = '[1, ' {OF_TRIAL} AND key = 'cost'",
        "rows that Optuna cannot read",
    ),
    "half a digest": (
        f"UPDATE study_system_attributes SET value_json = '\"0' {OF_STUDY} AND key = 'digest 2'",
        "rows that Optuna cannot read",
    ),
    "another value": ("UPDATE trial_values SET value = 0.99 WHERE trial_id = 1", "trial 0 with other values"),
    "another report": (
        "UPDATE trial_intermediate_values SET intermediate_value = 0.99 WHERE trial_id = 1",
        "trial 0 with other values",
    ),
    "another variable": (f"UPDATE trial_params SET param_value = 0 {OF_TRIAL}", "trial 1 with other values"),
    "another range": (
        f"UPDATE trial_params SET distribution_json = replace(distribution_json, '0.001', '0.002') {OF_TRIAL}",
        "trial 1 with other values",
    ),
    "the other direction": ("UPDATE study_directions SET direction = 'MINIMIZE'", "the directions minimize"),
    "no direction": ("DELETE FROM study_directions", "the directions none"),
}  # fmt: skip


@pytest.mark.parametrize("what", ROWS)
def test_a_study_does_not_go_on_with_rows_that_it_did_not_write(study: Path, what: str) -> None:
    """A study notices rows of its database that were changed or removed, names the trial, and does not go on.

    Removes trials and attributes, changes states, values, variables, ranges and the direction of a finished study by
    SQL, and runs it again.
    """
    statement, found = ROWS[what]
    execute(study, statement)
    with pytest.raises(UserError, match="rows of a study must be as the study wrote them") as caught:
        resumed(study)
    assert found in str(caught.value)
    assert "`optuna delete-study --study-name study-4 " in str(caught.value)


@pytest.mark.parametrize("what", ["an unknown state", "half an attribute", "no user attributes", "no direction"])
def test_the_status_of_a_damaged_study_is_one_line(study: Path, what: str) -> None:
    """`fovea status` names rows that cannot be read, and never ends in a traceback.

    Changes states and attributes of a finished study by SQL, and reads its trials as the command does.
    """
    execute(study, ROWS[what][0])
    harness = StudyHarness(study, trials=4)
    opened = open_to_read("study-4", harness.address)
    status = Status(opened, harness.config, None, {})
    if what == "no direction":
        assert "study-4: 4 of 4 trials done" in status.text(status.read(), study)
    else:
        with pytest.raises(UserError, match=r"restore the database from a copy, or"):
            status.read()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM trials WHERE number = 4 AND study_id = 2", r"study-5: .*got trial 4 missing;"),
        ("DELETE FROM trials WHERE number = 4 AND study_id = 3", r"pruning-study-5: .*got trial 4 missing;"),
        ("DELETE FROM studies WHERE study_id = 2", r"^study-5: must have all trials of pruning-study-5, which has 5"),
        ("DELETE FROM studies WHERE study_id = 3", r"^pruning-study-5: the rows .* got none in the table studies;"),
    ],
)
def test_a_study_of_several_objectives_notices_the_loss_of_rows(study: Path, statement: str, found: str) -> None:
    """A study of several objectives notices when trials of it, or of the study that prunes, are removed.

    Removes the last trial of each of the two by SQL, then a whole study, and runs it again.
    """
    execute(study, statement)
    with pytest.raises(UserError, match=found):
        resumed(study, 5, **FRONT)


def test_a_study_does_not_reuse_changed_rows_of_another_one(study: Path) -> None:
    """A study with more trials does not reuse trainings whose rows were changed.

    Changes a result of a finished study, and continues that study with more trials.
    """
    execute(study, f"UPDATE trial_user_attributes SET value_json = '{{}}' {OF_TRIAL} AND key = 'trained'")
    with pytest.raises(UserError, match=r"^study-4: the rows of a study must .* got trial 1 with other values"):
        resumed(study, 6)


def test_a_study_notices_changed_results_of_finalists(study: Path) -> None:
    """A study notices that the recorded results of its finalists were changed.

    Records a result of a finalist, changes it by SQL, and opens the study again.
    """
    harness = StudyHarness(study, trials=4)
    harness.driver()
    assert harness.study is not None
    harness.study.set_user_attr("finals", {"0 key": {"1": {"val_accuracy": 0.5}}})
    harness.study.set_user_attr("finals", {"0 key": {"1": {"val_accuracy": 0.25}}})
    assert harness.study.user_attrs["finals"] == {"0 key": {"1": {"val_accuracy": 0.25}}}
    execute(study, "UPDATE study_user_attributes SET value_json = replace(value_json, '0.25', '0.99')")
    with pytest.raises(UserError, match="another value of the attribute finals"):
        assert harness.study.user_attrs


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM trial_user_attributes",
        "DELETE FROM trial_user_attributes WHERE key = 'trained'",
        "UPDATE trial_user_attributes SET value_json = '7' WHERE key = 'proposal'",
        "UPDATE trial_user_attributes SET value_json = '7' WHERE key = 'started'",
    ],
)
def test_an_unfinished_trial_without_its_attributes_is_named(tmp_path: Path, statement: str) -> None:
    """A study that was killed names an unfinished trial whose attributes were changed or removed.

    Stops a study in the second rung of its first trial, and removes or replaces attributes by SQL.
    """

    def die_in_the_second_rung(job: Job, data: TrainingData) -> RungResult:
        if job.until > 1:
            raise Killed
        return learn(job, data)

    with pytest.raises(Killed):
        StudyHarness(tmp_path, die_in_the_second_rung).run()
    execute(tmp_path, statement)
    with pytest.raises(UserError, match=r"^trial 0 of the study: must have the attributes that a study writes, got "):
        resumed(tmp_path, 5)


def test_a_study_of_an_earlier_version_goes_on(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study that has no digests, because an earlier version wrote it, goes on; this is said once.

    Removes the digests of a finished study by SQL.
    """
    table = resumed(study)
    assert "digest" not in capsys.readouterr().out
    execute(study, "DELETE FROM study_system_attributes WHERE key LIKE 'digest %'")
    assert resumed(study) == table
    assert "study-4: its 4 trials had no digests" in capsys.readouterr().out
    assert resumed(study) == table
    assert "digest" not in capsys.readouterr().out
    execute(study, ROWS["another value"][0])
    with pytest.raises(UserError, match="trial 0 with other values"):
        resumed(study)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a file": (lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]), "malformed"),
    "the first page": (lambda file: file.write_bytes(file.read_bytes()[:5000]), "malformed"),
    "some bytes": (lambda file: file.write_bytes(file.read_bytes()[:50]), "malformed"),
    "a text": (lambda file: file.write_text("not a database " * 100), "not a database"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "unable to open"),
    "no header": (lambda file: file.write_bytes(bytes(100) + file.read_bytes()[100:]), "not a database"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_damaged_database_is_named(study: Path, what: str) -> None:
    """A study whose database is truncated, overwritten or replaced says which file must be removed or corrected.

    Truncates the file at several places, overwrites its header, and replaces it by a text and by a folder.
    """
    damage, found = FILES[what]
    damage(study / "optuna.db")
    with pytest.raises(
        UserError, match=r"search\.storage: must be a database that can be opened, got sqlite:"
    ) as error:
        resumed(study)
    assert found in str(error.value)


def test_a_database_without_a_column_is_named(study: Path) -> None:
    """A study refuses a database whose tables lack a column.

    Drops a column by SQL.
    """
    with closing(sqlite3.connect(study / "optuna.db")) as database:
        database.execute("ALTER TABLE trials DROP COLUMN state")
    with pytest.raises(UserError, match=r"no such column: trials\.state; restore the database from a copy"):
        resumed(study)


def test_a_database_of_another_program_is_not_touched(tmp_path: Path) -> None:
    """A study does not write into an SQLite file that belongs to another program.

    Gives the study a database with tables of another kind.
    """
    with closing(sqlite3.connect(file := tmp_path / "optuna.db")) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
    before = file.read_bytes()
    with pytest.raises(UserError, match="it has the tables of another program: runs"):
        open_storage(f"sqlite:///{file}")
    assert file.read_bytes() == before


@pytest.mark.long
def test_random_bytes_in_a_database_never_change_the_study(finished: Path, tmp_path: Path) -> None:
    """A study whose database has wrong bytes anywhere either ends as undisturbed or names the damage.

    Overwrites between 1 and 200 bytes at 200 random places of the file of a finished study, and runs it again.
    """
    expected = resumed(shutil.copytree(finished, tmp_path / "undisturbed"))
    numbers = random.Random(0)
    refused = 0
    for attempt in range(200):
        folder = shutil.copytree(finished, tmp_path / str(attempt))
        for suffix in ("-wal", "-shm"):
            (folder / f"optuna.db{suffix}").unlink(missing_ok=True)
        content = bytearray((folder / "optuna.db").read_bytes())
        length = numbers.choice((1, 8, 200))
        start = numbers.randrange(len(content) - length)
        content[start : start + length] = numbers.randbytes(length)
        (folder / "optuna.db").write_bytes(content)
        try:
            assert resumed(folder) == expected, attempt
        except UserError:
            refused += 1
        shutil.rmtree(folder)
    assert refused


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {
    "the folder of the studies is a file": (lambda root: (root / "studies").touch(), "Not a directory"),
    "the folder of the study is a file": (lambda root: touched(root / "studies/study-1"), "File exists"),
    "the lock is a folder": (lambda root: (root / "studies/study-1/lock").mkdir(parents=True), "Is a directory"),
    "the folder of a state is a file": (lambda root: (root / "states").touch(), "File exists"),
    "a state is a folder": (lambda root: (root / "states/0-1.npz").mkdir(parents=True), "Is a directory"),
    "the folder of the winner is a file": (lambda root: (root / "models").touch(), "File exists"),
    "the winner is a folder": (lambda root: (root / "models/architecture.yaml").mkdir(parents=True), "Is a directory"),
    "the folder of the reports is a file": (lambda root: (root / "reports").touch(), "File exists"),
}


def touched(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()


def write_everything(root: Path) -> None:
    """Write what the stage writes, with its functions, in its order."""
    with study_lock(root / "studies/study-1"):
        harness = StudyHarness(root, trials=1)
        harness.run()
        with new_folder(root / "reports/search") as folder:
            (folder / "trials.csv").touch()
        write_candidate(harness.config.first_trials[0].candidate, root / "models/architecture.yaml")


@pytest.mark.parametrize("what", PLACES)
def test_a_file_or_folder_in_the_way_is_named(tmp_path: Path, what: str) -> None:
    """If a file or folder is where a study writes its lock, states, reports or winner, one line names it.

    Puts a file or a folder in each of these places, and lets the study write there.
    """
    place, found = PLACES[what]
    place(tmp_path)
    with pytest.raises(OSError, match=found) as error:
        write_everything(tmp_path)
    message = cause_outside(error.value)
    assert message is not None
    assert message.startswith(str(tmp_path))
    assert f"is in the way: {found}; move it, and run the command again" in message
