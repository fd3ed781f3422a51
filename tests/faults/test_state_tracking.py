"""MLflow's database and the records of runs, damaged."""

import json
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.evaluation.choice import read_choice
from pipeline.mlflow_server.check_database import database_defect
from pipeline.mlflow_server.connection import require_server
from pipeline.registry.split_usage import add_decision, add_evaluation, count_usage
from pipeline.registry.versions import Registry
from pipeline.tracking.live import track
from pipeline.tracking.local_log import LocalLog, read_local_log
from pipeline.tracking.publisher import MlflowPublisher
from pipeline.tracking.record import RunRecord, read_record, write_record
from pipeline.tracking.sync import sync
from tests.faults.permissions import with_ordinary_permissions
from tests.faults.special_files import link_to_itself, pipe

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> bytes:
    """A database with a run."""
    root = tmp_path_factory.mktemp("used")
    shutil.copy(empty_database, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("MLFLOW_TRACKING_URI", raising=False)
        with track(RunRecord("training", KEY, "training", params={"seed": 1}), root) as run:
            run.log({"loss": 0.5}, 1)
    return (root / "mlflow.db").read_bytes()


@pytest.fixture
def root(tmp_path: Path, database: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlflow.db").write_bytes(database)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def another_file(path: Path) -> None:
    path.write_text("not a database\n" * 100)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def header_only(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def altered_pages(path: Path) -> None:
    content, numbers = bytearray(path.read_bytes()), random.Random(0)
    for at in range(4096, len(content), 4096):  # the headers of all pages but the first
        content[at] = numbers.randrange(256)
    path.write_bytes(content)


def altered_text(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"fovea.kind", b"fovea.k\xffnd"))


def altered_schema(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABLY"))


def no_runs(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")


def unreadable(path: Path) -> None:
    path.chmod(0)


def read_only(path: Path) -> None:
    path.chmod(0o400)


def read_only_copy(path: Path) -> None:
    (path.parent / "mlartifacts").mkdir()  # to which the paths in the database must be changed
    read_only(path)


DAMAGE: list[tuple[Callable[[Path], Any], str]] = [
    (folder, "must be an SQLite database, got a folder; restore it"),
    (pipe, "must be an SQLite database, got a pipe or a device; restore it"),
    (link_to_itself, "cannot be read: Too many levels of symbolic links"),
    (another_file, "must be an SQLite database, got another file; restore it"),
    (truncated, "malformed"),
    (header_only, "is damaged"),
    (altered_pages, "is damaged"),
    (altered_text, "utf-8|UTF-8"),
    (altered_schema, "is damaged: malformed"),
    (no_runs, "no such (table|column): runs"),
    (newer, "must be of a version that the installed MLflow knows, got 'fedcba987654'; install a newer MLflow"),
    (unreadable, "cannot be read: Permission denied; make it readable"),
    (read_only, "readonly"),
    (read_only_copy, "readonly"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_a_damaged_tracking_database_is_named_and_does_not_stop_a_stage(
    root: Path, damage: Callable[[Path], Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A damaged database of MLflow is named on one line within seconds, and the stage goes on without tracking.

    Makes mlflow.db a folder, another file, a named pipe or a link to itself, truncates it, alters bytes of its pages,
    texts and schema, removes a table, sets the version of a newer MLflow, and takes permissions away.
    """
    damage(root / "mlflow.db")
    began = time.monotonic()
    record = RunRecord("training", KEY, "training", params={"seed": 1})

    def stage() -> None:
        with track(record, root) as run:
            run.log({"loss": 0.5}, 1)

    with_ordinary_permissions(stage)
    assert time.monotonic() - began < 5
    shown = "".join(capfd.readouterr())
    assert len(shown.splitlines()) == 1, shown
    assert re.search(message, shown), shown
    assert "mlflow.db" in shown
    assert record.status == "FINISHED"
    assert record.metrics == [("loss", 1, 0.5)]


def test_commands_that_need_the_tracking_database_name_its_defect(root: Path) -> None:
    """A command that needs MLflow ends with one message if the database is damaged.

    Makes mlflow.db a folder.
    """
    folder(root / "mlflow.db")
    with pytest.raises(UserError, match=r"mlflow\.db: must be an SQLite database, got a folder; restore it from"):
        require_server(root)


@pytest.mark.slow
def test_a_locked_tracking_database_is_named_with_the_remedy(root: Path) -> None:
    """A command that needs MLflow says that another program uses the database, if it is locked for seconds.

    Holds an exclusive lock of mlflow.db.
    """
    with sqlite3.connect(root / "mlflow.db") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"mlflow\.db cannot be used: .*locked; end other programs that use"):
            require_server(root)


def test_the_records_are_published_to_a_new_database(root: Path) -> None:
    """What a damaged database has lost is published again from the records.

    Truncates mlflow.db, moves it away, and publishes the record of a training.
    """
    truncated(root / "mlflow.db")
    write_record(RunRecord("training", KEY, "training", status="FINISHED"), root / "reports/train/run.json")
    with pytest.raises(UserError, match="is damaged"):
        sync(root)
    (root / "mlflow.db").rename(root / "damaged.db")
    assert sync(root) == 1


@pytest.mark.long
def test_the_check_of_a_large_database_is_quick(root: Path) -> None:
    """The check of a database of 100 MB takes less than a second.

    Adds metrics to mlflow.db until it has 100 MB.
    """
    path = root / "mlflow.db"
    with sqlite3.connect(path) as connection:
        (columns,) = connection.execute("SELECT group_concat(name) FROM pragma_table_info('metrics')").fetchone()
        values = columns.replace("step", "value")
        connection.execute(
            f"WITH RECURSIVE steps(value) AS (SELECT 1000 UNION ALL SELECT value + 1 FROM steps WHERE value < 350000) "
            f"INSERT INTO metrics ({columns}) SELECT {values.replace('value', 'steps.value')} "
            f"FROM steps, (SELECT * FROM metrics LIMIT 1) AS one"
        )
    assert path.stat().st_size > 90e6
    began = time.monotonic()
    assert database_defect(path) is None
    assert time.monotonic() - began < 1


GOOD: dict[str, Any] = {"kind": "training", "key": KEY, "name": "training", "status": "FINISHED"}
RECORDS: dict[str, str | bytes] = {
    "truncated": json.dumps(GOOD)[:-20],
    "empty": "",
    "a list": "[1, 2]",
    "null": "null",
    "without a key": json.dumps({"kind": "training"}),
    "of a newer version": json.dumps(GOOD | {"energy": 3}),
    "another kind": json.dumps(GOOD | {"kind": "party"}),
    "a number as key": json.dumps(GOOD | {"key": 3}),
    "metrics of another shape": json.dumps(GOOD | {"metrics": [["loss", 0.5]]}),
    "metrics are a number": json.dumps(GOOD | {"metrics": 7}),
    "params are a list": json.dumps(GOOD | {"params": [1]}),
    "children are numbers": json.dumps(GOOD | {"children": [1]}),
    "a dataset without a name": json.dumps(GOOD | {"dataset": {}}),
    "contexts are a number": json.dumps(GOOD | {"dataset": {"name": "a", "digest": "b", "contexts": 5}}),
    "a step of 70 bits": json.dumps(GOOD | {"metrics": [["loss", 2**70, 1.0]]}),
    "a key with a quote": json.dumps(GOOD | {"key": "it's"}),
    "a key that is a path": json.dumps(GOOD | {"key": "../../key"}),
    "a long name": json.dumps(GOOD | {"params": {"a" * 201: 1}}),
    "a name with a line break": json.dumps(GOOD | {"tags": {"a\n": "b"}}),
    "half a character": json.dumps(GOOD | {"tags": {"a": "\ud800"}}),
    "a zero character": json.dumps(GOOD | {"params": {"a": "\0"}}),
    "a text outside the artifacts": json.dumps(GOOD | {"texts": {"../a": "b"}}),
    "grandchildren": json.dumps(GOOD | {"children": [GOOD | {"children": [GOOD]}]}),
    "NaN": json.dumps(GOOD | {"metrics": [["loss", 1, float("nan")]]}),
    "not UTF-8": b"\xff\xfe\x00",
    "nested deeply": "[" * 200_000,
}


def test_damaged_records_are_named_and_the_others_published(root: Path) -> None:
    """`fovea sync` publishes the intact records, then names the damaged ones, and exits with an error.

    Puts records among the reports that are truncated, empty, of another shape or version, not UTF-8, nested deeply, a
    folder, or have NaN as a number, or names, numbers, texts or a dataset that MLflow refuses.
    """
    for name, content in RECORDS.items():
        path = root / "reports" / name / "run.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (root / "reports" / "a folder" / "run.json").mkdir(parents=True)
    write_record(RunRecord("training", "intact", "intact", status="FINISHED"), root / "reports/train/run.json")
    with pytest.raises(UserError) as error:
        sync(root)
    lines = str(error.value).splitlines()
    assert sorted(Path(line.partition(": ")[0]).parent.name for line in lines) == sorted([*RECORDS, "a folder"])
    server = require_server(root)
    assert "intact" in {run.info.run_name for run in server.client.search_runs([server.experiment_id])}


def outside(name: str, root: Path, **content: Any) -> None:
    write_record(RunRecord("training", name, name, status="FINISHED", **content), root / "reports" / name / "run.json")


def test_a_record_publishes_no_file_outside_the_project(root: Path) -> None:
    """A record that names files outside the project is not published, also if a link in the project leads there.

    Names a file by its absolute path, by `..`, as a page, and through links to the file and to its folder.
    """
    project = root / "project"
    (project / "reports").mkdir(parents=True)
    (project / "mlartifacts").mkdir()
    (root / "mlflow.db").rename(project / "mlflow.db")
    (root / "secret.txt").write_text("secret")
    (project / "link.txt").symlink_to(root / "secret.txt")
    (project / "folder").symlink_to(root)
    outside("absolute", project, artifacts=[str(root / "secret.txt")])
    outside("relative", project, artifacts=["../secret.txt"])
    outside("page", project, pages={"page.html": ["missing.html", str(root / "secret.txt")]})
    outside("link", project, artifacts=["link.txt"])
    outside("linked-folder", project, artifacts=["folder/secret.txt"])
    cached = root / "cache" / "files" / "md5" / "ab" / ("c" * 30)
    cached.parent.mkdir(parents=True)
    cached.write_text("a picture")
    (project / "reports" / "picture.png").symlink_to(cached)  # as DVC does if `cache.type` is `symlink`
    outside("intact", project, artifacts=["reports/picture.png"])
    with pytest.raises(UserError) as error:
        sync(project)
    names = [Path(line.partition(": ")[0]).parent.name for line in str(error.value).splitlines()]
    assert sorted(names) == ["absolute", "link", "linked-folder", "page", "relative"]
    assert "must be in the project, got 'link.txt'" in str(error.value)
    stored = [path for path in (project / "mlartifacts").rglob("*") if path.is_file()]
    assert [path.name for path in stored] == ["picture.png"]


def test_a_record_that_mlflow_refuses_is_named_and_the_others_published(root: Path) -> None:
    """A record that MLflow refuses is named by `fovea sync`, its run does not stay RUNNING, and others are published.

    Puts a page that is not UTF-8 among the files of a record.
    """
    (root / "page.html").write_bytes(b"\xff\xfe")
    outside("refused", root, pages={"page.html": ["page.html"]})
    outside("zzz", root)
    with pytest.raises(
        UserError, match=r"^.*reports/refused/run\.json: MLflow at .* refuses the record: .*utf-8"
    ) as error:
        sync(root)
    assert len(str(error.value).splitlines()) == 1
    server = require_server(root)
    runs = {run.info.run_name: run.info.status for run in server.client.search_runs([server.experiment_id])}
    assert (runs["refused"], runs["zzz"]) == ("KILLED", "FINISHED")


@pytest.mark.parametrize("method", ["find", "add", "finish"])
def test_an_unexpected_error_of_the_tracking_does_not_stop_a_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """A stage goes on if its tracking fails for an unknown reason, and says what to report.

    Raises a KeyError while the run is opened, while it is in progress, and while it ends.
    """

    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(MlflowPublisher, method, broken)
    record = RunRecord("training", "fedcba9876543210", "training")
    with track(record, root) as run:
        run.wait()
        run.log({"loss": 0.5}, 1)
        run.flush()
    until = time.monotonic() + 10
    while not caplog.messages and time.monotonic() < until:  # the thread of the tracking may say it after the stage
        time.sleep(0.01)
    (message,) = caplog.messages
    assert "in broken" in message
    assert "this is a bug in Fovea; please report it" in message
    assert message.endswith("continuing without MLflow; publish later with `fovea sync`")
    assert (record.status, record.metrics) == ("FINISHED", [("loss", 1, 0.5)])


def test_reports_that_are_a_link_to_itself_are_named(root: Path) -> None:
    """`fovea sync` names a folder of reports in which it can find nothing.

    Makes the folder a symbolic link to itself.
    """
    (root / "reports").symlink_to("reports")
    with pytest.raises(UserError, match=r"/reports: must be a folder, got a symbolic link that leads nowhere"):
        sync(root)


@pytest.mark.parametrize("damage", ["nested deeply", "a pipe", "a list"])
def test_damaged_counts_of_the_uses_of_a_test_split_are_ignored(tmp_path: Path, damage: str) -> None:
    """Damaged counts of the uses of a test split do not stop a stage; they are counted again.

    Makes the file 200,000 open brackets, a named pipe, and a list.
    """
    add_evaluation(tmp_path, "digest", "network")
    (path,) = (tmp_path / "logs/test_split").glob("*.json")
    if damage == "a pipe":
        pipe(path)
    else:
        path.write_text("[" * 200_000 if damage == "nested deeply" else "[1]")
    assert count_usage(None, tmp_path, "digest", "another").networks == 1
    add_evaluation(tmp_path, "digest", "another")
    assert count_usage(None, tmp_path, "digest", "another").networks == 1


@pytest.mark.parametrize("tag", ["two", "-3", "9" * 5000, ""])
def test_an_edited_count_of_decisions_is_ignored(root: Path, tag: str) -> None:
    """An edited count of the decisions of the gate in MLflow does not stop a stage; the count of the clone is used.

    Gives the tag of the registered model values that are no count.
    """
    registry = Registry(require_server(root), "network")
    registry.server.client.create_registered_model("network", {"fovea.decisions.digest": tag})
    assert count_usage(registry, root, "digest", "network").decisions == 0
    add_decision(registry, root, "digest", 1)
    assert count_usage(registry, root, "digest", "network").decisions == 1


def test_a_huge_record_is_refused(tmp_path: Path) -> None:
    """A record of gigabytes is refused before it is read.

    Makes a file without content of 3 GB.
    """
    path = tmp_path / "run.json"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(UserError, match=r"must have at most 1,073,741,824 bytes"):
        read_record(path)


@pytest.mark.parametrize("content", ["", "[1]", '{"role": 3}', '{"times": 3}', '{"key": "a", "points": [[1]]}', "\0"])
def test_other_damaged_files_of_a_training_are_named_or_ignored(tmp_path: Path, content: str) -> None:
    """A damaged file with the choice of the network is named; a damaged log with the times of a run is ignored.

    Writes content of other shapes to choice.json and to the file in logs/.
    """
    (tmp_path / "choice.json").write_text(content)
    with pytest.raises(UserError, match=r"choice\.json: must be the choice of the stage train"):
        read_choice(tmp_path / "choice.json")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / f"{KEY}.json").write_text(content)
    assert read_local_log(tmp_path, KEY) == LocalLog(KEY)
