"""Symbolic links that lead out of the folder of a source."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import UserError, listed_first
from pipeline.images.file_names import printable


def require_inside(where: str, folder: Path, paths: Iterable[Path]) -> None:
    """Raise an error for paths that links lead out of a folder.

    Links to the cache of the DVC project are accepted: DVC replaces files by such links, if `cache.type` is `symlink`.

    Args:
        where: The source, in messages.
        folder: Folder of the source.
        paths: Files, or folders that are links.

    Raises:
        UserError: Links lead out of the folder. The message has their number and the first ones.
    """
    root = folder.resolve()
    inside: dict[Path, bool] = {}
    for path in paths:
        place = path if path.is_symlink() else path.parent
        if place not in inside:
            inside[place] = _target(place).is_relative_to(root)
    if all(inside.values()):
        return
    cache = _dvc_cache()
    outside = [(path, to) for path, within in inside.items() if not within and not _is_in(to := _target(path), cache)]
    if outside:
        lines = listed_first([f"{printable(str(path))} -> {printable(str(to))}" for path, to in outside])
        raise UserError(
            f"{where}: with data.follow_links: false, links must not lead out of the folder, got {len(outside)}:\n"
            f"{lines}\n  copy what they lead to into the folder, or set data.follow_links: true"
        )


def require_no_links_out(where: str, folder: Path) -> None:
    """Check all links below a folder, without following any; see `require_inside`."""
    require_inside(where, folder, _links(folder))


def _links(folder: Path | str) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # listing the source reports what cannot be read
        return
    for entry in found:
        if entry.is_symlink():
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _links(entry.path)


def _target(path: Path) -> Path:
    return Path(os.path.realpath(path))  # also of links that lead to themselves


def _is_in(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.is_relative_to(folder)


def _dvc_cache() -> Path | None:
    """The cache of the DVC project around the current folder, without links; None if there is no project."""
    here = Path.cwd()
    project = next((each / ".dvc" for each in (here, *here.parents) if (each / ".dvc").is_dir()), None)
    if project is None:
        return None
    from dvc.config import Config, ConfigError

    try:
        settings = Config(str(project), validate=False)
    except ConfigError as error:
        raise UserError(f"{project / 'config'}: cannot be read by DVC: {error}; correct it") from None
    return Path(project, settings.get("cache", {}).get("dir") or "cache").resolve()
