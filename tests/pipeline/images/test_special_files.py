"""Pipes, devices, sockets and files that change are refused at once, in `prepare` and in `predict`."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import predict
from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import BYTES
from pipeline.errors import UnreadableError
from pipeline.file_content import content_of
from pipeline.images.decode import read_image
from pipeline.inference.image_inputs import find
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load
from tests.pipeline.sources.test_value_range import network

GRAY = ImageFormat(color_mode="grayscale")


def make_socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket must be short
    socket.socket(socket.AF_UNIX).bind(path.name)


SPECIAL: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "socket": make_socket,
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_are_refused_without_waiting(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (4, 4), 9 + number).save(tmp_path / "images" / name / f"{number}.png")
    bad = tmp_path / "images" / "a" / "bad.png"
    SPECIAL[kind](bad)
    with pytest.raises(UnreadableError, match=r"bad\.png: must be an image file, got a pipe or a device; pass a file"):
        read_image(bad, str(bad), GRAY)
    params = data_params(source=f"images:{tmp_path / 'images'}", on_unreadable="skip", follow_links=True)
    assert load(params, seed=0).skipped == ("a/bad.png",)
    model = predict.load_network(str(network(tmp_path, BYTES)))
    found = list(predict.predict(model, find([str(tmp_path / "images" / "a")]), 1))
    assert ["got a pipe or a device" in each.error for each in found] == [False, False, True]


def test_a_file_that_a_pipe_replaces_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, true_stat = tmp_path / "image.png", Path.stat
    path.write_bytes(b"image")

    def replaced(self: Path, **options: Any) -> os.stat_result:
        found = true_stat(self, **options)
        os.unlink(path)
        os.mkfifo(path)
        return found

    monkeypatch.setattr(Path, "is_symlink", lambda self: False)  # which would call stat
    monkeypatch.setattr(Path, "stat", replaced)
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            content_of(path, "image.png", "an image file", 100)
        except UnreadableError as error:
            outcome.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert [str(each) for each in outcome] == ["image.png: must be an image file, got a pipe or a device; pass a file"]


@pytest.mark.parametrize("change", ["grows", "is rewritten"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path, true_fstat, calls = tmp_path / "image.png", os.fstat, []
    Image.new("L", (4, 4), 9).save(path)

    def fstat(number: int) -> os.stat_result:
        found = true_fstat(number)
        if not calls:  # change the file after its first inspection
            calls.append(number)
            content = path.read_bytes()
            path.write_bytes(content + b"more" if change == "grows" else content)
            os.utime(path, ns=(0, found.st_mtime_ns + 1))
        return found

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(UnreadableError, match=r"image\.png: must not change while it is read"):
        read_image(path, "image.png", GRAY)
