"""Sources that consist of files: decode them, collect what cannot be read, and sort the samples into parts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from pipeline.data.rows import Part
from pipeline.decoding.decode import Decoder, Fetcher, decode_files, fetch_file
from pipeline.decoding.file_record import FileRecord
from pipeline.decoding.store import DecodeStore
from pipeline.digest import digest, source_digests
from pipeline.errors import UserError, listed_first
from pipeline.images.file_names import printable
from pipeline.listing.entry import FileEntry, Listing
from pipeline.redaction import redact_addresses

_SHOWN = 20
_FOLDERS = tuple(  # code that decodes
    f"pipeline/{name}" for name in ("arrays", "data", "decoding", "images", "loaders", "signals", "sources", "volumes")
)
_LIBRARIES = ("nibabel", "numpy", "pillow", "pillow-heif", "scipy", "soundfile")


@dataclass(frozen=True)
class ReadFiles:
    """Files that were decoded.

    Attributes:
        listing: All files.
        entries: The readable files.
        digests: SHA-256 of the content of each readable file.
        facts: What the decoder reported about each readable file.
        unreadable: The unreadable files, each with the problem.
        store: The store with the samples.
    """

    listing: Listing
    entries: Sequence[FileEntry]
    digests: Sequence[str]
    facts: Sequence[Mapping[str, Any]]
    unreadable: Sequence[tuple[FileEntry, str]]
    store: DecodeStore

    def parts(self, remedy: str) -> dict[str, Part]:
        """Samples and labels by split.

        Args:
            remedy: What to do if the samples have several shapes.

        Raises:
            UserError: The samples have several shapes.
        """
        stored = [self.store.found[each] for each in self.digests]
        shapes = Counter(each.shape[1:] for each in stored)
        if len(shapes) > 1:
            grids = ((shape[:-1], count) for shape, count in shapes.most_common(_SHOWN))
            found = ", ".join(f"{'×'.join(map(str, grid))} ({count})" for grid, count in grids)
            raise UserError(f"{self.listing.where}: samples must have the same size, got {found}; {remedy}")
        parts: dict[str, Part] = {}
        for split in self.listing.splits:
            files = [number for number, entry in enumerate(self.entries) if entry.split == split]
            labels = np.array([self.entries[number].label for number in files], np.int64)
            rows = self.store.rows([self.digests[number] for number in files])
            parts[split] = rows, np.repeat(labels, [stored[number].shape[0] for number in files])
        return parts

    @property
    def skipped(self) -> tuple[str, ...]:
        """Names of the unreadable files."""
        return tuple(entry.name for entry, _ in self.unreadable)

    def records(self, classes: Sequence[str]) -> list[FileRecord]:
        """What became of each file, by name.

        Args:
            classes: Names of the classes.
        """
        used = [
            FileRecord(
                entry.name,
                classes[entry.label],
                size=tuple(facts.get("size", ())),
                mode=facts.get("mode", ""),
                format=facts.get("format", ""),
                converted=tuple(facts.get("converted", ())),
                weight=entry.weight,
            )
            for entry, facts in zip(self.entries, self.facts, strict=True)
        ]
        skipped = [
            FileRecord(
                entry.name,
                classes[entry.label],
                "skipped",
                reason=problem.removeprefix(f"{_shown(entry)}: "),
                weight=entry.weight,
            )
            for entry, problem in self.unreadable
        ]
        return sorted([*used, *skipped], key=lambda record: record.file)

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of the samples by split; samples of a file with several are numbered."""
        return self._of_samples(lambda entry, number, count: entry.name + (f" ({number + 1})" if count > 1 else ""))

    @property
    def groups(self) -> dict[str, list[str]]:
        """Groups of the samples by split; empty if each file is one sample without a group."""
        if not any(entry.group for entry in self.entries) and all(
            self.store.found[each].shape[0] == 1 for each in self.digests
        ):
            return {}
        return self._of_samples(lambda entry, *_: entry.group or f"file {entry.name}")

    @property
    def weights(self) -> dict[str, list[float]]:
        """Weights of the samples by split: those of their files. Empty if the files have none."""
        if any(entry.weight is None for entry in self.entries):
            return {}
        return self._of_samples(lambda entry, *_: entry.weight)

    def _of_samples(self, of: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for entry, each in zip(self.entries, self.digests, strict=True):
            count = self.store.found[each].shape[0]
            found.setdefault(entry.split, []).extend(of(entry, number, count) for number in range(count))
        return found


def read_files(
    listing: Listing,
    decode: Decoder,
    settings: Sequence[BaseModel],
    decoded: Path,
    on_unreadable: Literal["error", "skip"],
    description: str,
    fetch: Fetcher = fetch_file,
) -> ReadFiles:
    """Decode the files of a source on all cores. Files that were decoded before are only read.

    Decoded samples of other settings are removed.

    Args:
        listing: The files.
        decode: Function that decodes the content of a file.
        settings: Everything that determines the result of `decode`.
        decoded: Folder of decoded samples.
        on_unreadable: What happens to files that cannot be read.
        description: Description of the work, for the progress.
        fetch: Function that returns the content of a file.

    Raises:
        UserError: Files cannot be read; the first 20 are listed. Or a split has no readable file.
    """
    name, entries = _store_name(settings), listing.entries
    for other in decoded.iterdir() if decoded.is_dir() else ():
        if other.name != name:
            rmtree(other, ignore_errors=True)
    with DecodeStore(decoded / name) as store:
        paths, names = [entry.path for entry in entries], [_shown(entry) for entry in entries]
        results = decode_files(paths, names, decode, store, description, fetch)
        store.remove_unused({result.digest for result in results if not result.problem})
    unreadable = [(entry, result.problem) for entry, result in zip(entries, results, strict=True) if result.problem]
    if unreadable and on_unreadable == "error":
        lines = listed_first([problem for _, problem in unreadable])
        remedy = "repair or remove them, or set data.on_unreadable: skip, which lists all of them in files.csv"
        if len(unreadable) == len(entries):
            remedy = (
                "if they are files of another kind, change the kind in data.source; otherwise, repair or remove them"
            )
        raise UserError(
            f"{listing.where}: {len(unreadable)} of {len(entries)} files are not readable:\n{lines}\n  {remedy}"
        )
    _require_readable(listing, unreadable)
    read = [(entry, result.digest) for entry, result in zip(entries, results, strict=True) if not result.problem]
    return ReadFiles(
        listing,
        [entry for entry, _ in read],
        [each for _, each in read],
        [store.found[each].facts for _, each in read],
        unreadable,
        store,
    )


def _require_readable(listing: Listing, unreadable: Sequence[tuple[FileEntry, str]]) -> None:
    """Raise an error if a split or a class has no readable file."""
    present = {entry.split for entry in listing.entries}
    of_split = _without_readable(listing, unreadable, lambda entry: entry.split)
    for split in listing.splits:
        place = f" in {split}" if len(listing.splits) > 1 else ""
        if split not in present:
            raise UserError(f"{listing.where}: must contain files{place}, got none; add some, or remove the folder")
        if problems := of_split.get(split):
            raise UserError(
                f"{listing.where}: must contain readable files{place}, got {len(problems)} that are not readable; the "
                f"first one: {problems[0]}"
            )
    of_class = _without_readable(listing, unreadable, lambda entry: listing.classes[entry.label])
    for name, problems in of_class.items():
        raise UserError(
            f"{listing.where}: class {name!r} must have readable files, got {len(problems)} that are not readable; "
            f"the first one: {problems[0]}"
        )


def _without_readable(
    listing: Listing, unreadable: Sequence[tuple[FileEntry, str]], key: Callable[[FileEntry], str]
) -> dict[str, list[str]]:
    """The problems of the files of each split or class of which no file is readable."""
    files, problems = Counter(map(key, listing.entries)), dict[str, list[str]]()
    for entry, problem in unreadable:
        problems.setdefault(key(entry), []).append(problem)
    return {name: found for name, found in problems.items() if len(found) == files[name]}


def _shown(entry: FileEntry) -> str:
    """Path of a file in messages."""
    return printable(redact_addresses(str(entry.path)))


def _store_name(settings: Sequence[BaseModel]) -> str:
    """Name of the store of these settings, which changes with the code and the libraries that decode."""
    versions = {}
    for library in _LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return digest([each.model_dump(mode="json") for each in settings], source_digests(_FOLDERS), versions)
