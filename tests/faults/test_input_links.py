"""Symbolic links that lead out of the source."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UserError
from pipeline.loaders.table import load as load_source
from pipeline.sources.source import Source
from tests.pipeline.param_sections import data_params


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names or ("0.png", "1.png")):
        Image.fromarray(np.full((8, 8), len(str(folder)) + number, np.uint8)).save(folder / name)


def load(source: str, decoded: Path, follow_links: bool = False) -> Source:
    return load_source(data_params(source=source, follow_links=follow_links), 0, decoded)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A source of two classes and a folder next to it."""
    fill(tmp_path / "images" / "a")
    fill(tmp_path / "images" / "b")
    fill(tmp_path / "elsewhere", "2.png", "3.png")
    return f"images:{tmp_path / 'images'}"


def test_links_out_of_the_source_are_not_followed(source: str, tmp_path: Path) -> None:
    """No link out of the source is followed, unless `data.follow_links` is true.

    A file, a folder in a class and a class that are links to another folder; a link within the source is followed.
    """
    images, outside = tmp_path / "images", tmp_path / "elsewhere"
    (images / "a" / "inside.png").symlink_to("../b/0.png")
    assert len(load(source, tmp_path / "decoded").names["train"]) == 5
    (images / "a" / "up.png").symlink_to("../../elsewhere/2.png")
    (images / "b" / "more").symlink_to(outside)
    (images / "c").symlink_to(outside)
    with pytest.raises(UserError) as refused:
        load(source, tmp_path / "decoded")
    assert str(refused.value).splitlines() == [
        f"data.source: {source}: with data.follow_links: false, links must not lead out of the folder, got 3:",
        f"  {images / 'a/up.png'} -> {outside / '2.png'}",
        f"  {images / 'b/more'} -> {outside}",
        f"  {images / 'c'} -> {outside}",
        "  copy what they lead to into the folder, or set data.follow_links: true",
    ]
    assert len(load(source, tmp_path / "decoded", follow_links=True).names["train"]) == 10


def test_links_to_large_folders_are_refused_at_once(source: str, tmp_path: Path) -> None:
    """A link to a large folder ends in a message at once, without a look into that folder.

    A class that is a link to the root folder of the machine.
    """
    (tmp_path / "images" / "c").symlink_to("/")
    started = time.monotonic()
    with pytest.raises(UserError, match=r"got 1:\n .*/images/c -> /\n"):
        load(source, tmp_path / "decoded")
    assert time.monotonic() - started < 2.0


def test_links_out_of_one_of_several_sources_are_refused(source: str, tmp_path: Path) -> None:
    """Each of several sources is checked.

    The second of two folders has a link to the first one.
    """
    fill(tmp_path / "more" / "b")
    (tmp_path / "more" / "a").symlink_to("../images/a")
    with pytest.raises(UserError, match=r"more: with data.follow_links: false.*got 1:\n .*/more/a -> .*/images/a\n"):
        load(f"{source},{tmp_path / 'more'}", tmp_path / "decoded")


def test_files_of_a_manifest_that_are_links_out_are_refused(source: str, tmp_path: Path) -> None:
    """Relative paths of a manifest cannot leave its folder by links.

    A manifest with a file in a folder that is a link to another folder.
    """
    (tmp_path / "images" / "link").symlink_to("../elsewhere")
    (tmp_path / "images" / "list.csv").write_text("path,label\na/0.png,x\nb/0.png,y\nlink/2.png,y\n")
    with pytest.raises(UserError, match=r"got 1:\n  .*/link -> .*/elsewhere\n"):
        load(f"{source}/list.csv", tmp_path / "decoded")


@pytest.mark.parametrize("kind", ["idx", "npy", "zarr", "ts"])
def test_folders_of_arrays_are_checked_as_well(kind: str, tmp_path: Path) -> None:
    """Folders of arrays and of `.ts` files do not follow links out of them either.

    A folder with a link to a file elsewhere.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x_train.npy").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match=rf"data.source: {kind}:.*got 1:\n  .*/x_train.npy -> /etc/hostname\n"):
        load(f"{kind}:{tmp_path / 'data'}", tmp_path / "decoded")


def test_loops_of_links_end(source: str, tmp_path: Path) -> None:
    """A loop of links ends in a message.

    A folder that is a link to its class, and a file that is a link to itself.
    """
    (tmp_path / "images" / "a" / "again").symlink_to(".")
    with pytest.raises(UserError, match="a symbolic link makes the folder contain itself; remove the link"):
        load(source, tmp_path / "decoded")
    (tmp_path / "images" / "a" / "again").unlink()
    os.symlink("self.png", tmp_path / "images" / "a" / "self.png")
    with pytest.raises(UserError, match=r"a/self.png"):
        load(source, tmp_path / "decoded")


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True], ids=["own cache", "shared cache"])
def test_links_to_the_cache_of_dvc_are_followed(
    source: str, tmp_path: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that DVC replaced by links to its cache are read without any setting.

    A folder that `dvc add` replaced by links, with the cache of the project, and with a cache elsewhere.
    """
    project = tmp_path / "project"
    shutil.copytree(tmp_path / "images", project / "images")
    monkeypatch.chdir(project)
    (project / ".dvc").mkdir()
    folder = f"    dir = {tmp_path / 'cache'}\n" if shared else ""
    (project / ".dvc" / "config").write_text(f"[core]\n    no_scm = true\n[cache]\n    type = symlink\n{folder}")
    subprocess.run(["dvc", "add", "-q", "images"], check=True)
    assert (project / "images" / "a" / "0.png").is_symlink()
    assert len(load(f"images:{project / 'images'}", tmp_path / "decoded").names["train"]) == 4
