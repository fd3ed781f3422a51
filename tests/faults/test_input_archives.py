"""Archives that `fovea init --data` unpacks."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.init.archive import unpack


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png", "C:\\out.png", "..\\out.png"])
def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    """An archive cannot write outside its folder.

    A zip file with a path upwards, an absolute path, a path through a folder, and two Windows paths.
    """
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as zipped:
        zipped.writestr(name, b"x")
    with pytest.raises(UserError, match="points outside it"):
        unpack(tmp_path / "evil.zip", tmp_path / "raw")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["evil.zip"]


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    """Links in an archive are refused.

    A tar file with a symbolic link to /etc.
    """
    with tarfile.open(tmp_path / "evil.tar", "w") as packed:
        link = tarfile.TarInfo("cat")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        packed.addfile(link)
    with pytest.raises(UserError, match="is not a regular file"):
        unpack(tmp_path / "evil.tar", tmp_path / "raw")


def test_an_archive_that_exceeds_the_size_limit_leaves_no_files(tmp_path: Path) -> None:
    """An archive that expands beyond the limit is refused, and leaves no files.

    A zip file with 10 MB of zeros, and a limit of 1 MB.
    """
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a/zeros.png", bytes(10_000_000))
    with pytest.raises(UserError, match="unpacks to more than 1,000,000 bytes"):
        unpack(tmp_path / "bomb.zip", tmp_path / "raw", most_bytes=1_000_000)
    assert not list((tmp_path / "raw").iterdir())


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    """A truncated archive ends in a message.

    A zip file of 17 bytes.
    """
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match="truncated, damaged or encrypted"):
        unpack(tmp_path / "half.zip", tmp_path / "raw")
