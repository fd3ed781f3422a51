"""Decoding the files of a source: on all cores, in order, once, and again only what changed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.input_format import ImageFormat
from pipeline.decoding import decode
from pipeline.decoding.decode import Decoded
from pipeline.decoding.read_files import ReadFiles, read_files
from pipeline.decoding.store import DecodeStore
from pipeline.errors import UnreadableError, UserError
from pipeline.listing.entry import FileEntry, Listing

FORMAT = ImageFormat(color_mode="grayscale")


def decode_text(content: bytes, name: str) -> Decoded:
    """Decode a test file: each line is a sample with two values."""
    if content == b"bad":
        raise UnreadableError(f"{name}: bad file")
    values = np.array([[int(number) for number in line.split()] for line in content.splitlines()], np.float32)
    return Decoded(values[:, :, np.newaxis], {"bytes": len(content)})


def count_calls(content: bytes, name: str) -> Decoded:
    """Decode a test file, and append its name to a file."""
    with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(f"{Path(name).name}\n")
    return decode_text(content, name)


def entries(folder: Path, files: dict[str, str]) -> list[FileEntry]:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return [FileEntry("train", number % 2, folder / name, name) for number, name in enumerate(files)]


def read(listed: Sequence[FileEntry], decoded: Path, size: int = 1, skip: bool = False) -> ReadFiles:
    settings = [FORMAT.model_copy(update={"image_size": (size, size)})]
    listing = Listing("mine", "here", ("a", "b"), ("train",), tuple(listed))
    return read_files(listing, count_calls, settings, decoded, "skip" if skip else "error", "reading")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def many(count: int) -> dict[str, str]:
    return {f"{number:04}": f"{number} {number + 1}" for number in range(count)}


@pytest.mark.parametrize("parallel", [False, True])
def test_samples_are_in_the_order_of_the_files(
    tmp_path: Path, calls: Path, parallel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_TRIAL", 0 if parallel else 1000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    found = read(entries(tmp_path / "files", many(150)), tmp_path / "decoded")
    samples, labels = found.parts("")["train"]
    assert samples[:][:, 0, 0].tolist() == list(range(150))
    assert samples[np.array([3, 77])][:, 1, 0].tolist() == [4, 78]
    assert labels.tolist() == [0, 1] * 75
    assert [each["bytes"] for each in found.facts][:2] == [3, 3]


def test_unchanged_files_are_not_decoded_again(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", many(5))
    read(listed, tmp_path / "decoded")
    listed = entries(tmp_path / "files", many(7) | {"0002": "20 30"})
    calls.unlink()
    samples, _ = read(listed, tmp_path / "decoded").parts("")["train"]
    assert sorted(calls.read_text().split()) == ["0002", "0005", "0006"]
    assert samples[:][:, 0, 0].tolist() == [0, 1, 20, 3, 4, 5, 6]


def test_samples_that_no_file_has_any_more_are_removed(tmp_path: Path, calls: Path) -> None:
    read(entries(tmp_path / "files", many(8)), tmp_path / "decoded")
    (content,) = tmp_path.glob("decoded/*/samples.bin")
    size = content.stat().st_size
    changed = {f"{number:04}": f"{50 + number} {number}" for number in range(5)} | {"0007": "7 8"}
    for _ in range(2):
        samples, _ = read(entries(tmp_path / "files", changed), tmp_path / "decoded").parts("")["train"]
        assert samples[:][:, :, 0].tolist() == [*([50 + number, number] for number in range(5)), [7, 8]]
        assert content.stat().st_size == size * 6 // 8
    assert len(calls.read_text().split()) == 8 + 5


def test_a_class_without_a_readable_file_is_refused_with_the_reason(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", {"a": "1 2", "b": "bad", "c": "3 4", "d": "bad"})
    with pytest.raises(UserError, match=r"class 'b' must have readable files, got 2 .*; the first one: .*bad file"):
        read(listed, tmp_path / "decoded", skip=True)


def test_other_settings_decode_all_files_again_and_remove_the_old_samples(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", many(3))
    for size in (1, 2):
        read(listed, tmp_path / "decoded", size)
    assert len(calls.read_text().split()) == 6
    assert len(list((tmp_path / "decoded").iterdir())) == 1


def test_a_file_may_contain_several_samples_which_form_a_group(tmp_path: Path, calls: Path) -> None:
    found = read(entries(tmp_path / "files", {"a": "1 2\n3 4\n5 6", "b": "7 8"}), tmp_path / "decoded")
    samples, labels = found.parts("")["train"]
    assert samples[1:].tolist() == [[[3], [4]], [[5], [6]], [[7], [8]]]
    assert labels.tolist() == [0, 0, 0, 1]
    assert found.names == {"train": ["a (1)", "a (2)", "a (3)", "b"]}
    assert found.groups == {"train": ["file a"] * 3 + ["file b"]}


def test_all_unreadable_files_are_listed_or_skipped(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", {"a": "1 2", "b": "bad", "c": "bad", "d": "3 4"})
    with pytest.raises(UserError, match="2 of 4 files are not readable") as caught:
        read(listed, tmp_path / "decoded")
    assert str(caught.value).count("bad file") == 2
    found = read(listed, tmp_path / "decoded", skip=True)
    assert found.skipped == ("b", "c")
    assert found.parts("")["train"][0][:][:, 0, 0].tolist() == [1, 3]


def test_at_most_20_unreadable_files_are_shown(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", {f"{number:02}": "bad" for number in range(25)})
    with pytest.raises(UserError, match="25 of 25 files are not readable") as caught:
        read(listed, tmp_path / "decoded")
    assert str(caught.value).count("bad file") == 20
    assert "\n  and 5 more\n  if they are files of another kind, change the kind in data.source" in str(caught.value)


def test_samples_of_several_sizes_are_refused(tmp_path: Path, calls: Path) -> None:
    found = read(entries(tmp_path / "files", {"a": "1 2", "b": "1 2 3"}), tmp_path / "decoded")
    with pytest.raises(UserError, match=r"same size, got 2 \(1\), 3 \(1\); resize them"):
        found.parts("resize them")


def test_decoding_continues_after_a_kill(tmp_path: Path, calls: Path) -> None:
    entries(tmp_path / "files", many(400))
    program = (
        "import sys, time; from pathlib import Path; from tests.pipeline.decoding import test_decoding as t\n"
        "old = t.count_calls\n"
        "def slow(*given):\n    time.sleep(0.002)\n    return old(*given)\n"
        "t.count_calls = slow\n"
        f"t.read(t.entries(Path({str(tmp_path / 'files')!r}), t.many(400)), Path({str(tmp_path / 'decoded')!r}))"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not (calls.exists() and len(calls.read_text().split()) > 200):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    done = len(calls.read_text().split())
    assert done < 400
    samples, _ = read(entries(tmp_path / "files", many(400)), tmp_path / "decoded").parts("")["train"]
    assert samples[:][:, 0, 0].tolist() == list(range(400))
    again = len(calls.read_text().split()) - done
    assert again <= 400 - done + 64


@pytest.mark.parametrize("damage", ["half a line", "line without its samples", "missing index", "zeros in the index"])
def test_what_a_kill_left_incomplete_is_decoded_again(tmp_path: Path, calls: Path, damage: str) -> None:
    listed = entries(tmp_path / "files", many(4))
    read(listed, tmp_path / "decoded")
    (store,) = (tmp_path / "decoded").iterdir()
    index, values = store / "index.txt", store / "samples.bin"
    if damage == "half a line":
        index.write_bytes(index.read_bytes()[:-20])
    elif damage == "line without its samples":
        values.write_bytes(values.read_bytes()[:-4])
    elif damage == "zeros in the index":
        lines = index.read_bytes().splitlines(keepends=True)
        index.write_bytes(b"".join([lines[0], bytes(20), b"\n", b"[1, 2]\n", *lines[2:]]))
    else:
        index.unlink()
    samples, _ = read(listed, tmp_path / "decoded").parts("")["train"]
    assert samples[:][:, 0, 0].tolist() == [0, 1, 2, 3]


def test_damaged_samples_are_refused(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", many(4))
    read(listed, tmp_path / "decoded")
    (values,) = (tmp_path / "decoded").glob("*/samples.bin")
    content = bytearray(values.read_bytes())
    content[9] ^= 1
    values.write_bytes(content)
    samples, _ = read(listed, tmp_path / "decoded").parts("")["train"]
    with pytest.raises(UserError, match="is damaged; remove this folder"):
        samples[:]


def test_a_store_is_used_by_one_process_at_a_time(tmp_path: Path, calls: Path) -> None:
    listed = entries(tmp_path / "files", many(2))
    found = read(listed, tmp_path / "decoded")
    with DecodeStore(found.store.folder), pytest.raises(UserError, match="another one is decoding"):
        read(listed, tmp_path / "decoded")
