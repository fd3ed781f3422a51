"""List the files that `data.source` names: folders of classes, folders with a pattern, or a manifest."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.errors import UserError, shown_first
from pipeline.images.file_names import existing, printable
from pipeline.listing.class_folders import list_class_folders
from pipeline.listing.entry import Listing
from pipeline.listing.file_pattern import list_by_pattern
from pipeline.listing.file_rules import require_distinct_paths
from pipeline.listing.links import require_inside, require_no_links_out
from pipeline.listing.manifest import SUFFIXES, read_manifest


def list_files(
    kind: str, place: str, pattern: str | None, endings: tuple[str, ...], follow_links: bool = True
) -> Listing:
    """List the files of a source.

    Args:
        kind: Kind of the source, such as `images`.
        place: A folder, several folders separated by commas, or a manifest.
        pattern: `data.file_pattern`; None: subfolders are classes.
        endings: Endings of the files, in lower case, which must not lie next to the folders of classes.
        follow_links: Whether symbolic links may lead out of the folder, or relative paths out of that of the manifest.
            Links to DVC's cache are always followed.

    Raises:
        UserError: A folder or the manifest is missing, or violates a rule, folders contain each other, or some file
            systems do not distinguish two names.
    """
    where = f"data.source: {kind}:{place}"
    places = [place] if os.path.lexists(existing(Path(place))) else place.split(",")
    tables = [each for each in places if each.lower().endswith(SUFFIXES) and not os.path.isdir(each)]
    if tables and len(places) > 1:
        raise UserError(
            f"{where}: a manifest cannot be joined with other manifests or folders, got {shown_first(tables)}; join "
            "the rows in one manifest"
        )
    if tables:
        if pattern is not None:
            raise UserError(
                f"{where}: a manifest declares labels, groups and splits itself, got also data.file_pattern, which "
                "finds them in names; set data.file_pattern: null, or pass the folder of the files"
            )
        manifest = existing(Path(place))
        listing = _checked(read_manifest(manifest, where))
        if not follow_links:  # absolute paths may lead anywhere: they are written, not linked
            paths = [entry.path for entry in listing.entries if isinstance(entry.path, Path)]
            require_inside(where, manifest.parent, [path for path in paths if path.is_relative_to(manifest.parent)])
        return listing
    listings: dict[Path, Listing] = {}
    for each in places:
        folder, of_folder = existing(Path(each)), f"data.source: {kind}:{each}"
        real = folder.resolve()
        _require_apart(where, real, listings)
        if not follow_links:
            require_no_links_out(of_folder, folder)
        if pattern is None:
            listing = list_class_folders(folder, endings, of_folder)
        else:
            listing = list_by_pattern(folder, pattern, of_folder)
        listings[real] = _checked(listing)
    return listings[real] if len(listings) == 1 else _joined(listings, where)


def _require_apart(where: str, folder: Path, others: Iterable[Path]) -> None:
    """Raise an error if a folder is one of the others, or inside one of them, or contains one of them."""
    for each in others:
        if folder == each or folder in each.parents or each in folder.parents:
            relation = "the same folder twice" if folder == each else "one inside the other"
            raise UserError(
                f"{where}: must name separate folders, since files are counted once, got {relation}: "
                f"{printable(str(each))} and {printable(str(folder))}; remove one"
            )


def _checked(listing: Listing) -> Listing:
    require_distinct_paths(listing.where, [entry.path for entry in listing.entries if isinstance(entry.path, Path)])
    return listing


def _joined(listings: Mapping[Path, Listing], where: str) -> Listing:
    """Join the files of several folders; classes of the same name are one class.

    Args:
        listings: The files of each folder, by its path without symbolic links.
        where: The source, in messages.

    Raises:
        UserError: The folders have different splits, or names of classes that some file systems do not distinguish.
    """
    prefixes = _short_names(tuple(listings))
    first, *others = listings.values()
    for each in others:
        if each.splits != first.splits:
            raise UserError(
                f"{where}: all folders must have the same splits, got {', '.join(first.splits)} in {first.name} and "
                f"{', '.join(each.splits)} in {each.name}; add or remove folders"
            )
    classes = tuple(sorted({name for each in listings.values() for name in each.classes}))
    require_distinct_paths(f"{where}: classes", map(Path, classes))
    index = {name: number for number, name in enumerate(classes)}
    named = list(zip(prefixes, listings.values(), strict=True))
    entries = [
        entry._replace(
            label=index[each.classes[entry.label]], name=f"{prefix}/{entry.name}", prefix=1 + prefix.count("/")
        )
        for prefix, each in named
        for entry in each.entries
    ]
    links = tuple(f"{prefix}/{link}" for prefix, each in named for link in each.links)
    return replace(first, where=where, classes=classes, entries=tuple(entries), links=links)


def _short_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of the paths of folders: as few as distinguish all folders, equally many of each."""
    names: list[str] = []
    for count in range(1, 1 + max(len(each.parts) for each in folders)):
        names = [printable("/".join(each.parts[-count:])) for each in folders]
        if len(set(names)) == len(names):
            break
    return names
