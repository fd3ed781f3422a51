"""Names that some file systems do not distinguish, and links that lead out of the source."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.listing.file_rules import require_distinct_paths
from pipeline.listing.list_files import list_files
from tests.pipeline.param_sections import data_params
from tests.pipeline.sources.loading import load

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True)
    for number, name in enumerate(names or ("0.png", "1.png")):
        Image.new("L", (4, 4), 40 * number).save(folder / name)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("IMG.png", "img.png"), r"IMG\.png and .*img\.png"),
        (("STRASSE.png", "straße.png"), r"STRASSE\.png and .*straße\.png"),
        ((COMPOSED, DECOMPOSED), r"e\\u0301\.png' and '.*\\xe9\.png'"),
    ],
)
def test_names_that_collide_on_some_file_systems_are_refused(
    tmp_path: Path, names: tuple[str, ...], shown: str
) -> None:
    fill(tmp_path / "a", *names)
    fill(tmp_path / "b")
    with pytest.raises(UserError, match=rf"names must differ in more than.*got .*{shown}; rename one of them"):
        load(data_params(source=f"images:{tmp_path}"), seed=0)


def test_folders_that_collide_on_some_file_systems_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "Cat", "0.png")
    fill(tmp_path / "cat", "1.png")
    with pytest.raises(UserError, match=r"got .*/Cat and .*/cat; rename one of them"):
        load(data_params(source=f"images:{tmp_path}"), seed=0)


def test_other_names_are_accepted() -> None:
    names = ("a/1.png", "b/1.png", "a/1.jpg", "a/1.png", os.fsdecode(b"a/\xff.png"), os.fsdecode(b"a/\xfe.png"))
    require_distinct_paths("here", map(Path, names))


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("npz:a.npz", {"image_size": [8, 8]}),
        ("digits", {"resize": "pad"}),
        ("idx:data", {"interpolation": "lanczos"}),
        ("hdf5:a.h5", {"background": [255, 255, 255]}),
        ("volumes:data", {"image_size": [8, 8]}),
        ("zarr:a.zarr", {"file_pattern": "(?P<label>a)"}),
    ],
)
def test_settings_that_a_source_would_ignore_are_refused(source: str, settings: dict[str, Any]) -> None:
    name = next(iter(settings))
    with pytest.raises(
        UserError, match=rf"{name} is for files of .*, got .* with source: {source}, which would ignore it; set"
    ):
        data_params(source=source, **settings)


def test_a_background_of_volumes_is_used() -> None:
    assert data_params(source="volumes:data", background=[9, 9, 9]).background == (9, 9, 9)


def test_a_manifest_with_a_pattern_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\n")
    with pytest.raises(UserError, match=r"a manifest declares labels, .* got also data\.file_pattern"):
        list_files("images", str(tmp_path / "list.csv"), "(?P<label>.)", ())
