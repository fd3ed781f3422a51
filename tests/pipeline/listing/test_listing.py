"""The files of a source: several folders, patterns in file names, and manifests."""

import os
import re
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pandas
import pyarrow  # type: ignore[import-untyped]  # it has no types
import pytest
from fsspec.registry import known_implementations  # type: ignore[import-untyped]  # it has no types
from PIL import Image
from pyarrow import parquet

from pipeline.errors import UserError
from pipeline.listing.list_files import list_files
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([[value, 255 - value]], np.uint8)).save(path)
    return path


def manifest(folder: Path, text: str, name: str = "list.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return f"{folder / name}"


def listed(place: str, pattern: str | None = None) -> list[tuple[str, str, str, str]]:
    """(split, class, name, group) of each file."""
    found = list_files("images", place, pattern, (".png",))
    return [(each.split, found.classes[each.label], each.name, each.group) for each in found.entries]


def test_several_folders_are_joined(tmp_path: Path) -> None:
    for folder, name in (("one", "cat"), ("one", "dog"), ("two", "ant"), ("two", "cat")):
        image(tmp_path / folder / name / "0.png")
    assert listed(f"{tmp_path / 'one'},{tmp_path / 'two'}") == [
        ("train", "cat", "one/cat/0.png", ""),
        ("train", "dog", "one/dog/0.png", ""),
        ("train", "ant", "two/ant/0.png", ""),
        ("train", "cat", "two/cat/0.png", ""),
    ]


@pytest.mark.parametrize("place", ["a.csv,b.csv", "a.csv,folder", "folder,b.parquet"])
def test_manifests_are_not_joined(place: str) -> None:
    with pytest.raises(UserError, match=r"a manifest cannot be joined with .*; join the rows in one manifest"):
        listed(place)


def test_several_folders_with_different_splits_are_refused(tmp_path: Path) -> None:
    for folder in ("one/train", "one/test", "two/train"):
        for name in "ab":
            image(tmp_path / folder / name / "0.png")
    with pytest.raises(UserError, match="the same splits, got train, test in one and train in two"):
        listed(f"{tmp_path / 'one'},{tmp_path / 'two'}")


def test_joined_folders_have_unique_names(tmp_path: Path) -> None:
    for folder in ("x/s", "y/s"):
        for name in "ab":
            image(tmp_path / folder / name / "0.png")
    found = [each[2] for each in listed(f"{tmp_path / 'x/s'},{tmp_path / 'y/s'}")]
    assert found == ["x/s/a/0.png", "x/s/b/0.png", "y/s/a/0.png", "y/s/b/0.png"]


@pytest.mark.parametrize(
    ("other", "relation"),
    [("s", "the same folder twice"), ("./s/", "the same"), ("link", "the same"), (".", "one inside")],
)
def test_no_file_is_listed_twice(tmp_path: Path, other: str, relation: str) -> None:
    for name in "ab":
        image(tmp_path / "s" / name / "0.png")
    (tmp_path / "link").symlink_to("s")
    with pytest.raises(UserError, match=f"must name separate folders.* got {relation}.*; remove one"):
        listed(f"{tmp_path / 's'},{tmp_path}/{other}", r"(?P<label>[ab])/0")


def test_classes_of_joined_folders_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    for name in ("s/a", "s/b", "t/A", "t/b"):
        image(tmp_path / name / "0.png")
    with pytest.raises(UserError, match=r"classes: names must differ in more than upper and lower case.* got A and a;"):
        listed(f"{tmp_path / 's'},{tmp_path / 't'}")


def test_a_pattern_leaves_no_file_out_silently(tmp_path: Path) -> None:
    image(tmp_path / "s" / "a_0.png")
    image(tmp_path / "elsewhere" / "b_1.png")
    (tmp_path / "s" / "more").symlink_to("../elsewhere")
    (tmp_path / "s" / "b_2").write_bytes((tmp_path / "s" / "a_0.png").read_bytes())  # without an ending
    pattern = r"(?P<label>[a-z])_\d"
    assert [each[2] for each in listed(str(tmp_path / "s"), pattern)] == ["a_0.png", "b_2", "more/b_1.png"]
    assert list_files("images", str(tmp_path / "s"), pattern, ()).links == ("more",)
    with pytest.raises(UserError, match=r"with data.follow_links: false, links must not lead out of the folder, got 1"):
        list_files("images", str(tmp_path / "s"), pattern, (), follow_links=False)
    (tmp_path / "s" / "README.md").touch()
    with pytest.raises(UserError, match=r"must match each file.* got README\.md; correct"):
        listed(str(tmp_path / "s"), pattern)
    (tmp_path / "s" / "again").symlink_to(".")
    with pytest.raises(UserError, match="a symbolic link makes the folder contain itself"):
        listed(str(tmp_path / "s"), pattern)


def test_a_pattern_finds_classes_groups_and_splits_in_file_names(tmp_path: Path) -> None:
    for name in ("train/anna_7_0.png", "train/ben_3_0.png", "test/anna_7_1.png", "train/.notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    pattern = r"(?P<split>\w+)/(?P<group>[a-z]+)_(?P<label>\d)_"
    assert listed(str(tmp_path), pattern) == [
        ("test", "7", "test/anna_7_1.png", "anna"),
        ("train", "7", "train/anna_7_0.png", "anna"),
        ("train", "3", "train/ben_3_0.png", "ben"),
    ]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<label>[a-z]+)_", r"must match each file, and split must be train, val or test, got 0\.png"),
        (r"(?P<label>\d|b)", "must find files"),
        ("(?P<label>.).*", None),
    ],
)
def test_a_pattern_must_match_each_file(tmp_path: Path, pattern: str, message: str | None) -> None:
    image(tmp_path / "a_0.png")
    image(tmp_path / "0.png")
    if message is None:
        assert len(listed(str(tmp_path), pattern)) == 2
    elif "find files" in message:
        (tmp_path / "a_0.png").unlink()
        with pytest.raises(UserError, match="must find at least two labels, got one label, '0'"):
            listed(str(tmp_path), pattern)
    else:
        with pytest.raises(UserError, match=message):
            listed(str(tmp_path), pattern)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "must be a regular expression"),
        ("label", r"must have the named group \(\?P<label>…\)"),
        ("(?P<label>a)(?P<person>b)", "got label, person"),
    ],
)
def test_patterns_without_a_label_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        data_params(file_pattern=pattern)


def test_a_manifest_declares_classes_splits_and_groups(tmp_path: Path) -> None:
    for name in ("a/0.png", "a/1.png", "b.png"):
        image(tmp_path / name)
    text = "path,label,split,group\na/0.png,cat,train,x\na/1.png,dog,test,y\nb.png,cat,train,x\n"
    expected = [("train", "cat", "a/0.png", "x"), ("test", "dog", "a/1.png", "y"), ("train", "cat", "b.png", "x")]
    assert listed(manifest(tmp_path, text)) == expected
    assert listed(manifest(tmp_path, "\ufeff" + text)) == expected  # as Excel writes it
    pandas.read_csv(tmp_path / "list.csv").to_parquet(tmp_path / "list.parquet")
    assert listed(str(tmp_path / "list.parquet")) == expected


def test_a_manifest_declares_weights(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        image(tmp_path / name)
    place = manifest(tmp_path, "path,label,weight\na.png,cat,0.25\nb.png,dog,1e1\n")
    pandas.read_csv(place).to_parquet(tmp_path / "list.parquet")
    for each in (place, str(tmp_path / "list.parquet")):
        found = list_files("images", each, None, (".png",))
        assert [entry.weight for entry in found.entries] == [0.25, 10.0]


def test_a_file_is_listed_once_whatever_its_path_is_relative_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = image(tmp_path / "a.png")
    manifest(tmp_path, f"path,label\na.png,x\n{path},y\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"must list each file once, got .*a\.png twice with the labels 'x' and 'y'"):
        listed("list.csv")


def test_folders_that_a_manifest_names_elsewhere_are_known(tmp_path: Path) -> None:
    for name in ("here/a.png", "here/b/b.png", "elsewhere/c.png"):
        image(tmp_path / name)
    rows = f"path,label\na.png,x\nb/b.png,y\n{tmp_path}/elsewhere/c.png,x\nmemory://bucket/folder/d.png,y\n"
    found = list_files("images", manifest(tmp_path / "here", rows), None, (".png",))
    assert found.links == (f"{tmp_path}/elsewhere", "memory://bucket/folder")


@pytest.mark.parametrize("weight", ["0", "-1", "", "heavy", "nan", "inf", "1e-50", "1e300", '"0,5"'])
def test_weights_that_are_not_positive_numbers_are_refused_with_their_rows(tmp_path: Path, weight: str) -> None:
    for name in ("a.png", "b.png", "c.png"):
        image(tmp_path / name)
    text = f"path,label,weight\na.png,x,{weight}\nb.png,y,1.5\nc.png,y,{weight}\n"
    shown = re.escape(repr(weight.strip('"')))
    with pytest.raises(UserError, match=f"weight must be a positive number.* got {shown} in row 2, {shown} in row 4;"):
        listed(manifest(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have the columns path and label, and may have split, group and weight, got none"),
        ("path,label\n", "must have rows"),
        (
            "file,label\na.png,x\n",
            "must have the columns path and label, and may have split, group and weight, got file, label",
        ),
        ("path,label,age\na.png,x,3\n", "got path, label, age"),
        ("a,b,label\n1,2,x\n", "must have a column path .*, got a, b, label; if it is a table of features"),
        ("path,path,label\na.png,b.png,x\n", "column names must be unique"),
        ("path,label\n,x\n", "must name a file in each row, got '' in row 2"),
        ("path,label\na.png,\n", "must have a label in each row, got '' in row 2"),
        ("path,label,split\na.png,x,train\nb.png,y,dev\n", "split must be train, val or test, got 'dev' in row 3"),
        ("path,label,split\na.png,x,\nb.png,y,train\n", "split must be train, val or test, got '' in row 2"),
        ("path,label,split\na.png,x,test\nb.png,y,test\n", "must have rows of the split train, got only test"),
        ("path,label\na.png,x\nb.png,x\n", "must have at least two labels, got only 'x'"),
        ("path,label\n../a.png,x\nb.png,y\n", r"must stay in the manifest's folder, got \.\./a\.png"),
        ("path,label\nb/../../a.png,x\nb.png,y\n", "must stay in the manifest's folder"),
        ("path,label\na.png,x\n./a.png,x\n", "must list each file once, got .*a.png twice; remove a row"),
        ("path,label\na.png,x\na.png,y\n", "twice with the labels 'x' and 'y'"),
        ('path,label\n"a.png,x\nb.png,y\n', "must be a readable CSV table"),
        ("path,label\na.png,x,1\nb.png,y\n", "each row must have 2 values, got 3 in row 2"),
    ],
)
def test_invalid_manifests_are_refused(tmp_path: Path, text: str, message: str) -> None:
    for name in ("a.png", "b.png"):
        image(tmp_path / name)
    with pytest.raises(UserError, match=message):
        listed(manifest(tmp_path, text))


def test_missing_files_of_a_manifest_are_listed_up_to_20(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    rows = "".join(f"gone{number}.png,y\n" for number in range(25))
    with pytest.raises(UserError, match=r"25 of 26 files do not exist") as caught:
        listed(manifest(tmp_path, f"path,label\na.png,x\n{rows}"))
    assert str(caught.value).count("gone") == 20
    assert "and 5 more" in str(caught.value)


@pytest.mark.parametrize("content", [b"PAR1", b"\0\1", b"path,label\n\xff\xfe,x\n"])
@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_damaged_manifests_are_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"must be a readable|must have the columns"):
        listed(str(tmp_path / name))


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_pipes_and_devices_are_not_read_as_manifests(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
    for each in (name, f"zero-{name}"):
        with pytest.raises(UserError, match="got a pipe or a device"):
            listed(str(tmp_path / each))


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_manifests_with_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    table = pandas.DataFrame({"path": ["a", "b", "c"], "label": ["x", "y", "x"]})
    table.to_csv(tmp_path / "list.csv", index=False)
    table.to_parquet(tmp_path / "list.parquet")
    monkeypatch.setattr("pipeline.listing.manifest._MAX_ROWS", 2)
    with pytest.raises(UserError, match=rf"{name}: must be .* must have at most 2 rows, got"):
        listed(str(tmp_path / name))


def parquet_manifest(path: Path, paths: pyarrow.Array, **options: Any) -> str:
    labels = pyarrow.array(["x", "y"] * (len(paths) // 2))
    parquet.write_table(pyarrow.table({"path": paths, "label": labels}), path, **options)
    return str(path)


@pytest.mark.parametrize("repeated", [True, False])
def test_a_parquet_manifest_that_decodes_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeated: bool
) -> None:
    """One long text in many rows is stored once; many long texts are stored compressed."""
    texts = pyarrow.array(["a" * 100_000] if repeated else [f"{number}" + "a" * 100_000 for number in range(40)])
    if repeated:
        texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 40_000, pyarrow.int32()), texts)
    else:
        monkeypatch.setattr("pipeline.listing.manifest._MAX_BYTES", 2**20)
    place = parquet_manifest(tmp_path / "list.parquet", texts, compression="zstd", use_dictionary=repeated)
    assert os.path.getsize(place) < 100_000
    shown = r"1.0 GiB after decompression, got 3.7 GiB" if repeated else "1.0 MiB after decompression, got 3.8 MiB"
    with pytest.raises(UserError, match=f"must have at most {shown}"):
        listed(place)


def test_a_parquet_manifest_of_categories_and_numbers_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        image(tmp_path / name)
    table = pandas.DataFrame({"path": ["a.png", "b.png"], "label": [1, 0], "group": pandas.Categorical(["x", None])})
    table.to_parquet(tmp_path / "list.parquet")
    assert listed(str(tmp_path / "list.parquet")) == [("train", "1", "a.png", "x"), ("train", "0", "b.png", "")]


def test_a_parquet_manifest_of_lists_is_refused(tmp_path: Path) -> None:
    place = parquet_manifest(tmp_path / "list.parquet", pyarrow.array([["a"], ["b"]]))
    with pytest.raises(UserError, match=r"columns must contain texts or numbers, got list.* in path"):
        listed(place)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("zip://a.png::file:///data/a.zip", "must not be chained with ::, got zip://a.png::file"),
        ("simplecache::s3://bucket/a.png", "must not be chained with ::, got simplecache::s3"),
        ("file://a/a.png", "must be absolute, such as file:///data/a.png, got file://a/a.png"),
        ("local://a.png", "must be absolute, .* or a path without local://"),
    ],
)
def test_chained_and_relative_addresses_are_refused(tmp_path: Path, address: str, message: str) -> None:
    image(tmp_path / "a.png")
    with pytest.raises(UserError, match=message):
        listed(manifest(tmp_path, f"path,label\n{address},x\na.png,y\n"))


def test_addresses_of_this_machine_are_paths(tmp_path: Path) -> None:
    a, b = image(tmp_path / "in/a.png"), image(tmp_path / "b c.png")
    place = manifest(tmp_path / "in", f"path,label\n{a.as_uri()},x\n{b.as_uri()},y\n")
    assert [each.path for each in list_files("images", place, None, ()).entries] == [a, b]
    assert len(list_files("images", place, None, (), follow_links=False).entries) == 2  # written, not linked
    with pytest.raises(UserError, match="1 of 2 files do not exist"):
        listed(manifest(tmp_path / "in", f"path,label\n{a.as_uri()},x\n{a.as_uri()}.gone,y\n"))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; pass a folder, or a manifest"):
        listed(str(tmp_path / "list.csv"))


def test_images_of_a_manifest_are_read_from_other_file_systems(tmp_path: Path) -> None:
    rows = []
    for number in range(6):
        address = f"memory://bucket/{tmp_path.name}/{number}.png"
        with fsspec.open(address, "wb") as file:
            file.write(image(tmp_path / "one.png", number).read_bytes())
        rows.append(f"{address},{'ab'[number % 2]},person {number}\n")
    rows.append(f"{image(tmp_path / 'local.png', 77)},a,person 1\n")
    place = manifest(tmp_path, f"path,label,group\n{''.join(rows)}")
    source = load(data_params(source=f"images:{place}"), seed=0)
    images, labels = source.parts["train"]
    assert images[:][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 77]
    assert labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert source.groups["train"][-1] == "person 1"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nowhere/0.png", "no such file"),
        ("http://127.0.0.1:9/0.png", "cannot be fetched: Cannot connect"),
        ("nothing://x/0.png", "cannot be opened: .*; correct the address, or install the package of its protocol"),
        ("missing://x/0.png", "cannot be opened: .*; install the package with `pip install no_such_package`"),
    ],
)
def test_addresses_that_cannot_be_read_are_named(
    tmp_path: Path, address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(known_implementations, "missing", {"class": "no_such_package.FileSystem", "err": "Not there"})
    image(tmp_path / "a.png")
    place = manifest(tmp_path, f"path,label\na.png,x\n{address},y\n")
    with pytest.raises(UserError, match=message):
        load(data_params(source=f"images:{place}"), seed=0)


def test_a_folder_may_be_named_like_a_manifest_or_contain_a_comma(tmp_path: Path) -> None:
    for folder in ("a.csv", "b,c"):
        for name in "xy":
            image(tmp_path / folder / name / "0.png")
        assert [each[1] for each in listed(os.fspath(tmp_path / folder))] == ["x", "y"]
