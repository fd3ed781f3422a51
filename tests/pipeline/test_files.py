"""Files and folders that are replaced as a whole, also if the process is killed."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.files import new_folder, remove_file, write_file

ROOT = Path(__file__).resolve().parents[2]


def run_killed(code: str, path: Path) -> None:
    """Run code that kills its process; `path` and `die` are defined."""
    start = """
import os, signal, sys
from pathlib import Path
from pipeline.files import new_folder, write_file

path = Path(sys.argv[1])
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", start + code, path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("content", "stored"), [("café\n", b"caf\xc3\xa9\n"), (b"\x00\xff", b"\x00\xff")])
def test_a_file_has_the_given_content_and_its_folders_are_created(
    tmp_path: Path, content: str | bytes, stored: bytes
) -> None:
    path = tmp_path / "new" / "deep" / "file"
    for _ in range(2):
        write_file(path, content)
        assert path.read_bytes() == stored
        assert list(path.parent.iterdir()) == [path]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, contents = tmp_path / "file", [bytes([byte]) * 4_000_000 for byte in (1, 2)]
    write_file(path, contents[0])
    over = threading.Event()

    def write() -> None:
        for number in range(1, 41):
            write_file(path, contents[number % 2])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        assert path.read_bytes() in contents
    writer.join()


@pytest.mark.parametrize(
    "before",
    ["os.fsync = die", "Path.replace = die"],  # with a part of the file on the disk, with all of it
)
def test_a_kill_while_a_file_is_written_leaves_the_old_content(tmp_path: Path, before: str) -> None:
    write_file(tmp_path / "file", "old")
    run_killed(f"{before}\nwrite_file(path, 'new' * 100_000)", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2  # with the temporary file
    remove_file(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_a_file_is_written_leaves_the_old_content(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "old")
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "file", "new \ud800")
    assert (tmp_path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("old")
    return tmp_path / "folder"


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_new_folder_replaces_the_old_one_at_the_end_of_the_block(folder: Path) -> None:
    with new_folder(folder) as made:
        assert list(made.iterdir()) == []
        (made / "new").write_text("new")
        assert content(folder) == {"old": "old"}
    assert content(folder) == {"new": "new"}
    with new_folder(folder.parent / "first" / "of all") as made:
        (made / "new").write_text("new")
    assert content(folder.parent / "first" / "of all") == {"new": "new"}
    assert {path.name for path in folder.parent.iterdir()} == {"folder", "first"}


def test_an_error_in_the_block_leaves_the_old_folder(folder: Path) -> None:
    def fail(made: Path) -> None:
        (made / "new").write_text("new")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), new_folder(folder) as made:
        fail(made)
    assert content(folder) == {"old": "old"}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_kill_in_the_block_leaves_the_old_folder(folder: Path) -> None:
    run_killed("with new_folder(path) as made:\n    (made / 'new').write_text('new')\n    die()", folder)
    assert content(folder) == {"old": "old"}
    assert len(list(folder.parent.iterdir())) == 2
    with new_folder(folder) as made:  # a later process is not disturbed by what is left
        assert list(made.iterdir()) == []
        with new_folder(folder.parent / "folder-2"), new_folder(folder):
            pass
        assert made.exists()  # only what no living process uses is removed
    assert content(folder) == {}
    assert {path.name for path in folder.parent.iterdir()} == {"folder", "folder-2"}


def test_a_link_keeps_pointing_to_the_replaced_folder(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    with new_folder(link) as made:
        (made / "new").write_text("new")
    assert link.is_symlink()
    assert content(folder) == {"new": "new"}
