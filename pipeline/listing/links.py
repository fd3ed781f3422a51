"""Symbolic links that lead out of the folder of a source."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.errors import UserError, listed_first
from pipeline.images.file_names import printable


def places_of(folder: Path) -> tuple[Path, ...]:
    """The folders into which links of a source may lead: its own folder, and the cache of the DVC project.

    DVC replaces files by links to its cache, if `cache.type` is `symlink`.

    Args:
        folder: Folder of the source.
    """
    cache = _dvc_cache()
    return (folder.resolve(), *([] if cache is None else [cache]))


def leads_out(path: Path, places: Iterable[Path]) -> bool:
    """Whether a path is in none of some folders, after all links are followed."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # a link that points to itself
        return False
    return not any(real.is_relative_to(place) for place in places)


def require_inside(where: str, folder: Path, paths: Iterable[Path]) -> None:
    """Raise an error for files and folders outside a folder, to which links lead.

    Args:
        where: The source, in messages.
        folder: Folder of the source.
        paths: Files, and folders that are links.

    Raises:
        UserError: Some are neither inside the folder nor in DVC's cache.
    """
    places, of_folders = places_of(folder), dict[Path, bool]()

    def is_outside(path: Path) -> bool:
        if path.is_symlink():
            return leads_out(path, places)
        above = path.parent
        if above not in of_folders:
            of_folders[above] = leads_out(above, places)
        return of_folders[above]

    outside = [path for path in paths if is_outside(path)]
    if outside:
        lines = listed_first([f"{printable(str(path))} -> {printable(str(path.resolve()))}" for path in outside])
        raise UserError(
            f"{where}: with data.follow_links: false, links must not lead out of the folder, got {len(outside)} that "
            f"do:\n{lines}\n  copy what they lead to into the folder, or set data.follow_links: true"
        )


def require_no_links_out(where: str, folder: Path) -> None:
    """Check all links below a folder, without following any; see `require_inside`."""
    require_inside(where, folder, _links(folder))


def _links(folder: Path) -> Iterator[Path]:
    for above, folders, files in os.walk(folder):
        yield from (path for name in (*folders, *files) if (path := Path(above, name)).is_symlink())


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
