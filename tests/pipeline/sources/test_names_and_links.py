"""Unusual file names, and symbolic links instead of folders."""

import csv
import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from pipeline import predict, prepare
from pipeline.data.dataset import read_dataset
from pipeline.data.value_range import BYTES
from pipeline.errors import UserError
from pipeline.images.file_names import existing, printable
from pipeline.inference.image_inputs import find
from tests.pipeline.param_sections import data_params, params_with
from tests.pipeline.sources.test_value_range import network

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
NAMES = ("100%.png", "what?.png", "a b.png", "[1].png", "#x&y.png", os.fsdecode(b"caf\xe9.png"), "two\nlines.png")


def fill(folder: Path, count: int = 20) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("L", (4, 4), number * 12).save(folder / f"{number}.png")


def run(folder: Path, source: Path, **changes: object):
    prepare.run(
        params_with(data=data_params(source=f"images:{source}", **changes), seed=1),
        prepare.Paths(folder / "prepared", folder / "reports"),
    )
    return read_dataset(folder / "prepared" / "dataset.json")


@pytest.mark.slow
def test_a_class_name_may_have_two_unicode_forms(tmp_path: Path) -> None:
    fill(tmp_path / "images" / "train" / COMPOSED)
    fill(tmp_path / "images" / "test" / DECOMPOSED)
    for split in ("train", "test"):
        fill(tmp_path / "images" / split / "tea")
    dataset = run(tmp_path, tmp_path / "images")
    assert dataset.classes == (COMPOSED, "tea")
    assert dataset.counts["test"] == {COMPOSED: 20, "tea": 20}


def test_two_folders_with_the_same_normalized_name_are_refused(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED, "tea"):
        fill(tmp_path / "images" / name)
    with pytest.raises(UserError, match="two folders have this name"):
        run(tmp_path, tmp_path / "images")


@pytest.mark.slow
def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path) -> None:
    for name in (os.fsdecode(b"caf\xe9"), "100% sure?"):
        fill(tmp_path / "images" / name)
    (tmp_path / "images" / "100% sure?" / os.fsdecode(b"bad\xff.png")).write_bytes(b"no image")
    dataset = run(tmp_path, tmp_path / "images", on_unreadable="skip")
    assert dataset.classes == ("100% sure?", r"caf\xe9")
    assert dataset.skipped == (r"100% sure?/bad\xff.png",)


def test_a_source_is_found_under_the_other_unicode_form(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / DECOMPOSED / name)
    assert run(tmp_path, tmp_path / COMPOSED).name == COMPOSED


def test_predict_finds_files_under_the_other_unicode_form(tmp_path: Path) -> None:
    Image.new("L", (4, 4), 250).save(tmp_path / f"{DECOMPOSED}.png")
    assert existing(tmp_path / f"{COMPOSED}.png") == tmp_path / f"{DECOMPOSED}.png"
    model = predict.load_network(str(network(tmp_path, BYTES)))
    (prediction,) = predict.predict(model, find([str(tmp_path / f"{COMPOSED}.png")]), 1)
    assert prediction.classes[0][0] == "bright"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_every_output_format_supports_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    for name in NAMES:
        Image.new("L", (4, 4), 250).save(folder / name)
    model = network(tmp_path, BYTES)
    paths = [str(folder / name) for name in NAMES]
    monkeypatch.setattr(sys, "argv", ["predict", *paths, "--model", str(model), "--top", "1", "--format", form])
    assert predict.main() == 0
    printed = capsys.readouterr().out
    printed.encode("utf-8")
    expected = [printable(name) for name in paths]
    if form == "json":
        assert [each["image"] for each in json.loads(printed)] == expected
    elif form == "csv":
        assert [row["image"] for row in csv.DictReader(io.StringIO(printed))] == expected
    else:
        assert [line.rpartition("  ")[0].strip() for line in printed.splitlines()] == expected


def test_null_terminated_names_may_contain_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["/two\nlines.png", "/one.png"]
    content = "\0".join(names).encode() + b"\0"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))
    assert [each.name for each in find(["-"])] == names


@pytest.mark.slow
def test_linked_folders_are_followed_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "images" / name)
    fill(tmp_path / "elsewhere")
    (tmp_path / "images" / "c").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path, tmp_path / "images", follow_links=True).classes == ("a", "b", "c")
    assert "DVC does not detect changes in linked folders (c); after a change" in capsys.readouterr().out
    found = list(find([str(tmp_path / "images")]))
    assert len([each for each in found if not each.problem]) == 40
    (problem,) = [each.problem for each in found if each.problem]
    assert problem.endswith(
        f"/images/c: is a link out of the folder, to {tmp_path / 'elsewhere'}, and not followed; pass that folder"
    )


def test_predict_does_not_follow_cyclic_links(tmp_path: Path) -> None:
    fill(tmp_path / "images", 2)
    (tmp_path / "images" / "again").symlink_to(tmp_path / "images")
    assert len(list(find([str(tmp_path / "images")]))) == 2


@pytest.mark.slow
def test_output_folders_of_prepare_may_be_links(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "images" / name)
    for name in ("prepared", "reports"):
        (tmp_path / "large" / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path / "large" / name)
    for _ in range(2):
        run(tmp_path, tmp_path / "images")
        assert (tmp_path / "prepared").is_symlink()
        assert (tmp_path / "large" / "prepared" / "dataset.json").is_file()
        assert sorted(os.listdir(tmp_path / "large")) == ["prepared", "reports"]
        assert (tmp_path / "large" / "reports" / "samples.png").is_file()
