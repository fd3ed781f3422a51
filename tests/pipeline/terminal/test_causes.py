"""Errors whose cause lies outside the program are one line with a remedy; others are reported as bugs."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from pipeline.terminal.causes import cause_outside
from pipeline.terminal.console import run_main


def written(path: Path) -> Path:
    path.write_bytes(b"x" * 5000)
    return path


def linked_to_itself(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def read_only_database(folder: Path) -> None:
    sqlite3.connect(folder / "database").executescript("create table t (n); pragma user_version = 1")
    with create_engine(f"sqlite:///file:{folder / 'database'}?mode=ro&uri=true").begin() as connection:
        connection.execute(text("insert into t values (1)"))


def too_many_files(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, hard))
    try:
        with ExitStack() as opened:
            for number in range(50):
                opened.enter_context((folder / str(number)).open("w"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


CASES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a full device": (lambda _: Path("/dev/full").write_text("x" * 9999), "free some disk space"),
    "a file as a folder": (lambda folder: (written(folder / "models") / "model.keras").write_text(""), "move it"),
    "a file in place of a folder": (lambda folder: written(folder / "reports").mkdir(), "reports: is in the way"),
    "a folder as a file": (lambda folder: folder.read_text(), "Is a directory; move it"),
    "a removed file": (lambda folder: (folder / "gone").read_text(), "gone: cannot be found"),
    "a link to itself": (
        lambda folder: linked_to_itself(folder / "models").resolve(),
        "models: must not be a symbolic link that leads to itself; remove the link",
    ),
    "a long name": (lambda folder: (folder / ("x" * 300)).read_text(), "choose another path"),
    "too many files": (too_many_files, "ulimit -n"),
    "no memory": (lambda _: bytearray(2**62), "memory is exhausted"),
    "a foreign database": (
        lambda folder: sqlite3.connect(written(folder / "database")).execute("select * from t"),
        "file is not a database; restore",
    ),
    "a read-only database": (read_only_database, "attempt to write a readonly database; change the permissions"),
}


@pytest.mark.parametrize("what", CASES)
def test_a_cause_outside_the_program_is_one_line_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    work, expected = CASES[what]
    with pytest.raises(SystemExit) as ended:
        run_main(lambda: work(tmp_path))
    printed = capsys.readouterr().err
    assert ended.value.code == 1
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert expected in printed
    assert printed.endswith("run the command again\n")


@pytest.mark.parametrize("error", [KeyError("x"), OSError("without a code"), RuntimeError("x"), sqlite3.Error("x")])
def test_other_errors_have_no_cause_outside_the_program(error: Exception) -> None:
    assert cause_outside(error) is None


def test_an_error_while_another_one_is_handled_is_not_attributed_to_that_one() -> None:
    def work() -> None:
        try:
            Path("/nowhere").read_text()
        except FileNotFoundError:
            {}["a bug"]

    with pytest.raises(KeyError) as raised:
        work()
    assert cause_outside(raised.value) is None


def test_a_bug_is_reported_with_its_traceback_and_with_what_to_report() -> None:
    code = "from pipeline.terminal.console import run_main; run_main(lambda: {}['missing'])"
    done = subprocess.run([sys.executable, "-c", code, "--option"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError: 'missing'\nerror: this is a bug in Fovea; please report it" in done.stderr
    assert "--option" in done.stderr
