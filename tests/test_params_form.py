"""params.yaml and the examples have the form that DVC writes, so that `dvc exp run -S` changes one line."""

import difflib
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from pipeline.init.run import run as init

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "params.yaml", *sorted((ROOT / "examples").glob("*.yaml"))]


def overridden(path: Path, folder: Path, *overrides: str) -> tuple[list[str], list[str]]:
    """The lines that DVC removes from a file, and those that it adds, for overrides in the form of `-S`."""
    copy = folder / path.name
    copy.write_text(path.read_text())
    apply_overrides(copy, list(overrides))
    changes = [*difflib.unified_diff(path.read_text().splitlines(), copy.read_text().splitlines(), n=0)][2:]
    return [line[1:] for line in changes if line[0] == "-"], [line[1:] for line in changes if line[0] == "+"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_overriding_a_number_changes_one_line(path: Path, tmp_path: Path) -> None:
    removed, added = overridden(path, tmp_path, "training.epochs=99")
    assert len(removed) == 1
    comment = removed[0].index("#")
    assert added == ["  epochs: 99".ljust(comment) + removed[0][comment:]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("search.timeout_hours=2.5", "timeout_hours"),
        ("search.rung_timeout_minutes=null", "rung_timeout_minutes"),
        ("data.source=xo", "source"),
    ],
)
def test_overriding_a_key_that_may_be_null_or_text_changes_at_most_one_line(
    path: Path, override: str, key: str, tmp_path: Path
) -> None:
    removed, added = overridden(path, tmp_path, override)
    assert len(removed) == len(added) <= 1
    assert all(line.strip().startswith(f"{key}:") and "#" in line for line in (*removed, *added))


def test_overriding_a_list_changes_its_own_lines_only(tmp_path: Path) -> None:
    removed, added = overridden(ROOT / "params.yaml", tmp_path, "search.space.filters=[16,32,64]")
    assert (removed, added) == (["    - 48"], ["    - 64"])


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_emptying_a_list_leaves_everything_else_unchanged(path: Path, tmp_path: Path) -> None:
    content = YAML(typ="safe").load(path)
    for place in lists(content):
        copy = tmp_path / path.name
        copy.write_text(path.read_text())
        apply_overrides(copy, [f"{'.'.join(place)}=[]"])
        found = YAML(typ="safe").load(copy)
        assert at(found, place) == []
        at(found, place[:-1])[place[-1]] = at(content, place)
        assert found == content, place


def lists(content: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys of each list that is not empty."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from lists(value, (*above, key))
        elif isinstance(value, list) and value:
            yield *above, key


def at(content: dict[str, Any], place: tuple[str, ...]) -> Any:
    return reduce(lambda inner, key: inner[key], place, content)


def test_overriding_a_range_changes_its_own_line_only(tmp_path: Path) -> None:
    removed, added = overridden(ROOT / "params.yaml", tmp_path, "search.space.dropout.high=0.5")
    assert len(removed) == 1
    assert added == ["    dropout: {low: 0.0, high: 0.5, step: 0.1}"]


def test_overriding_blocks_changes_only_lines_that_differ(tmp_path: Path) -> None:
    block = "convs: 1, kernel_size: 3, normalization: batch, pooling: max, pool_size: 2"
    blocks = f"model.blocks=[{{filters: 16, {block}}}, {{filters: 48, {block}}}]"
    removed, added = overridden(ROOT / "params.yaml", tmp_path, blocks)
    assert (removed, added) == (["  - filters: 32"], ["  - filters: 48"])


@pytest.mark.slow
def test_a_file_written_by_init_keeps_its_form(tmp_path: Path) -> None:
    written = tmp_path / "written.yaml"
    written.write_text((ROOT / "params.yaml").read_text())
    init("digits", written, None)
    (tmp_path / "copy").mkdir()
    removed, added = overridden(written, tmp_path / "copy", "training.epochs=91")
    assert len(removed) == 1
    assert added == [f"  epochs: 91                  {removed[0][removed[0].index('#') :]}"]
    test_emptying_a_list_leaves_everything_else_unchanged(written, tmp_path / "copy")


def test_overriding_several_keys_changes_one_line_each(tmp_path: Path) -> None:
    removed, added = overridden(
        ROOT / "params.yaml", tmp_path, "training.epochs=99", "model.head.dropout=0.4", "seed=5"
    )
    assert len(removed) == len(added) == 3
