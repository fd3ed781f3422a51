"""The files and folders below a folder. Symbolic links are followed; nothing is left out silently."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import UserError
from pipeline.images.file_names import printable

_IGNORED = ("Thumbs.db", "desktop.ini", "__MACOSX")


def files_below(folder: Path, hidden: bool = False, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield all files below a folder, sorted by name. Symbolic links are followed; broken links are yielded as well.

    Args:
        folder: The folder.
        hidden: Whether hidden files, and those that operating systems leave, are yielded as well.
        above: The folders that contain this one, without symbolic links.

    Raises:
        UserError: A folder is not readable, or a link makes a folder contain itself.
    """
    real = folder.resolve()
    if real in above:
        raise UserError(f"{folder}: a symbolic link makes the folder contain itself; remove the link")
    for each in entries_of(folder, hidden):
        if is_folder(each):
            yield from files_below(Path(each.path), hidden, (*above, real))
        else:
            yield Path(each.path)


def links_below(folder: Path) -> Iterator[str]:
    """Yield the folders below a source that are symbolic links; DVC does not see their content."""
    for above, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not _is_ignored(name))
        for path in (Path(above, name) for name in names):
            if path.is_symlink():
                yield printable(path.relative_to(folder).as_posix())


def entries_of(folder: Path, hidden: bool = False) -> "list[os.DirEntry[str]]":
    """Content of a folder, sorted; without `hidden`, except hidden files and those that operating systems leave.

    Raises:
        UserError: The folder is not readable.
    """
    try:
        with os.scandir(folder) as found:
            kept = [each for each in found if hidden or not _is_ignored(each.name)]
        return sorted(kept, key=lambda each: each.name)
    except PermissionError:
        raise UserError(f"{printable(str(folder))}: permission denied; make the folder readable") from None


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that points to itself
        return False


def _is_ignored(name: str) -> bool:
    return name in _IGNORED or name.startswith(".")
