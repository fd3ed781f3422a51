"""Read a folder of volumes, which are files or folders of slices: one subfolder per class, as for images."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from pipeline.data.input_format import ImageFormat
from pipeline.data.volume_format import VolumeFormat
from pipeline.decoding.decode import Decoded
from pipeline.decoding.file_record import FileRecord
from pipeline.decoding.read_files import ReadFiles, read_files
from pipeline.decoding.store import StoredRows
from pipeline.errors import UserError, listed_first, plural, shown_first
from pipeline.listing.entry import FileEntry, Listing
from pipeline.loaders.volume_rows import StoredVolume, VolumeRows
from pipeline.sources.source import Source
from pipeline.volumes.read_volume import read_volume
from pipeline.volumes.slices import is_slice, missing_slices, natural_order, read_slice

_SHOWN = 20


def read_volume_files(
    listing: Listing,
    form: VolumeFormat,
    slices: ImageFormat,
    on_unreadable: Literal["error", "skip"],
    decoded: Path,
) -> Source:
    """Read volumes. Each is a file (.nii, .nii.gz, .npy), or a folder of images, its slices.

    Slices are ordered by name, with numbers in names as numbers, and become values from 0 to 1 by their bit depth.

    Args:
        listing: The files.
        form: How volumes are fitted.
        slices: Colour mode of slices; they are not resized one by one.
        on_unreadable: What happens to files that cannot be read, and to volumes that lack a slice. A volume without one
            of its slices is left out.
        decoded: Folder of decoded files.

    Raises:
        UserError: Files cannot be read, slices are not in folders of their own or have several sizes, or volumes have
            several shapes and `form` does not fit them.
    """
    where, classes = listing.where, listing.classes
    _require_own_folders(listing)
    gaps = _gaps(listing)
    if gaps and on_unreadable == "error":
        lines = listed_first([f"{name}: {reason}" for name, (_, reason) in gaps.items()])
        raise UserError(
            f"{where}: {len(gaps)} {plural(len(gaps), 'volume')} without all slices:\n{lines}\n"
            "  add the slices, set data.on_unreadable: skip, or rename the files, if their numbers do not count slices"
        )
    decode = partial(decode_volume_file, form=form, slices=slices)
    found = read_files(listing, decode, [form, slices], decoded, on_unreadable, "reading volumes")
    left_out = _unread(found) | gaps
    volumes = list(_volumes(found, form, left_out))
    of_split = {split: [volume for volume in volumes if volume.split == split] for split in listing.splits}
    for split, chosen in of_split.items():
        if not chosen:
            reasons = [f"{name}: {reason}" for name, (entry, reason) in left_out.items() if entry.split == split]
            raise UserError(
                f"{where}: {split} must contain complete volumes, got {len(reasons)} without all slices: "
                f"{shown_first(reasons)}; repair one, or remove the folder"
            )
    _require_one_shape(where, volumes)
    grouped = any(volume.group for volume in volumes)
    return Source(
        listing.name,
        classes,
        {
            split: (VolumeRows(chosen, form), np.array([volume.label for volume in chosen], np.int64))
            for split, chosen in of_split.items()
        },
        skipped=(*found.skipped, *gaps),
        links=listing.links,
        names={split: [volume.name for volume in chosen] for split, chosen in of_split.items()},
        groups={
            split: [volume.group or f"volume {volume.name}" for volume in chosen]
            for split, chosen in of_split.items()
            if grouped
        },
        weights={
            split: [volume.weight for volume in chosen if volume.weight is not None]
            for split, chosen in of_split.items()
            if chosen[0].weight is not None
        },
        files=_records(found, volumes, left_out, form),
        input_format=form,
        kind="volume",
    )


def decode_volume_file(content: bytes, name: str, form: VolumeFormat, slices: ImageFormat) -> Decoded:
    """Decode the content of a file: a volume (1, *shape, channels), or a slice (1, height, width, channels)."""
    if is_slice(name):
        values, file_format = read_slice(content, name, slices)
        return Decoded(values[np.newaxis], {"format": file_format})
    volume = read_volume(content, name, form)
    return Decoded(volume.values[np.newaxis], {"size": list(volume.shape), "format": volume.format})


def _volumes(
    found: ReadFiles, form: VolumeFormat, left_out: Mapping[str, tuple[FileEntry, str]]
) -> Iterator[StoredVolume]:
    """Yield the volumes of the files that were read, in the order of the source."""
    members: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(found.entries):
        sliced = is_slice(entry.name)
        name = _parent(entry.name) if sliced else entry.name
        if not sliced or name not in left_out:
            members.setdefault(("slices" if sliced else "file", name), []).append(number)
    ordered = {
        key: sorted(numbers, key=lambda number: natural_order(found.entries[number].name))
        for key, numbers in members.items()
    }
    rows, places = _rows_by_shape(found, [number for numbers in ordered.values() for number in numbers])
    for (kind, name), numbers in ordered.items():
        entry = found.entries[numbers[0]]
        shapes = Counter(found.store.found[found.digests[number]].shape[1:] for number in numbers)
        if len(shapes) > 1:
            sizes = ", ".join(f"{shape[0]}×{shape[1]} ({count})" for shape, count in shapes.most_common(_SHOWN))
            raise UserError(
                f"{found.listing.where}: {name}: slices must have one size, got {sizes}; correct the folder"
            )
        slices = [found.entries[number] for number in numbers]
        if len({(each.split, each.label, each.group, each.weight) for each in slices}) > 1:
            raise UserError(
                f"{found.listing.where}: {name}: slices of a volume must have the same class, split, group and weight, "
                "got several; correct the manifest"
            )
        shape = next(iter(shapes))
        if kind == "slices":
            count, size = len(numbers), (len(numbers), *shape[:2])
            fitted_shape = (*(form.shape or size), shape[2])
        else:
            count, size, fitted_shape = 0, tuple(found.facts[numbers[0]]["size"]), shape
        stored_as = str(found.facts[numbers[0]].get("format", "slices"))
        yield StoredVolume(
            entry.split,
            entry.label,
            entry.group,
            entry.weight,
            name,
            rows[shape],
            places[numbers[0]],
            count,
            fitted_shape,
            size,
            stored_as,
        )


def _gaps(listing: Listing) -> dict[str, tuple[FileEntry, str]]:
    """Volumes that lack a slice between others: a file of each, and which numbers are missing."""
    slices: dict[str, list[FileEntry]] = {}
    for entry in listing.entries:
        if is_slice(entry.name):
            slices.setdefault(_parent(entry.name), []).append(entry)
    missing = {
        name: missing_slices([PurePosixPath(entry.name).name for entry in entries]) for name, entries in slices.items()
    }
    return {
        name: (slices[name][0], f"it has no slice with number {shown_first(numbers)}")
        for name, numbers in missing.items()
        if numbers
    }


def _unread(found: ReadFiles) -> dict[str, tuple[FileEntry, str]]:
    """Volumes with a slice that cannot be read: this file, and the reason."""
    return {
        _parent(entry.name): (entry, f"its slice {PurePosixPath(entry.name).name} cannot be read")
        for entry, _ in found.unreadable
        if is_slice(entry.name)
    }


def _records(
    found: ReadFiles,
    volumes: Sequence[StoredVolume],
    left_out: Mapping[str, tuple[FileEntry, str]],
    form: VolumeFormat,
) -> list[FileRecord]:
    """What became of each volume, and of each file that was skipped."""
    classes = found.listing.classes
    records = [record for record in found.records(classes) if record.status == "skipped"]
    for name, (entry, reason) in left_out.items():
        records.append(FileRecord(name, classes[entry.label], "skipped", reason=reason, weight=entry.weight))
    for volume in volumes:
        resized = volume.size != volume.shape[:3]
        converted = (f"resized to {'×'.join(map(str, volume.shape[:3]))} ({form.resize})",) if resized else ()
        records.append(
            FileRecord(
                volume.name,
                classes[volume.label],
                size=volume.size,
                format=volume.format,
                converted=converted,
                weight=volume.weight,
            )
        )
    return sorted(records, key=lambda record: record.file)


def _rows_by_shape(
    found: ReadFiles, numbers: Sequence[int]
) -> tuple[Mapping[tuple[int, ...], StoredRows], Mapping[int, int]]:
    """Rows of the decoded files, one object for each shape, and the place of each file in those of its shape."""
    digests: dict[tuple[int, ...], list[str]] = {}
    places = {}
    for number in numbers:
        digest = found.digests[number]
        of_shape = digests.setdefault(found.store.found[digest].shape[1:], [])
        places[number] = len(of_shape)
        of_shape.append(digest)
    return {shape: found.store.rows(of_shape) for shape, of_shape in digests.items()}, places


def _require_own_folders(listing: Listing) -> None:
    """Raise an error for slices that are not in a folder of their volume, or with other files in it."""
    loose, parents = [], set()
    for entry in listing.entries:
        if is_slice(entry.name):
            parts = PurePosixPath(entry.name).parts[entry.prefix :]
            parents.add(_parent(entry.name))
            if len(parts) == 1 or (listing.classes[entry.label] == parts[-2] and parts[-2] not in parts[:-2]):
                loose.append(entry.name)
    if loose:
        raise UserError(
            f"{listing.where}: the slices of each volume must be in a folder of their own, got {shown_first(loose)}; "
            "move them, or use images:FOLDER if each file is a sample"
        )
    names = [entry.name for entry in listing.entries]
    mixed = [name for name in names if _parent(name) in parents and not is_slice(name)]
    if mixed:
        raise UserError(
            f"{listing.where}: a folder of slices must contain only slices, got {shown_first(mixed)}; move or remove "
            "such files"
        )


def _parent(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _require_one_shape(where: str, volumes: Sequence[StoredVolume]) -> None:
    shapes = Counter(volume.shape for volume in volumes)
    channels = {shape[-1] for shape in shapes}
    if len(channels) > 1:
        examples = {each.shape[-1]: each.name for each in reversed(volumes)}
        found = ", ".join(f"{count} in {examples[count]}" for count in sorted(channels))
        raise UserError(f"{where}: volumes must have the same number of channels, got {found}; convert them")
    if len(shapes) > 1:
        found = ", ".join(f"{'×'.join(map(str, shape[:-1]))} ({count})" for shape, count in shapes.most_common(_SHOWN))
        raise UserError(
            f"{where}: volumes must have the same shape, got {found}; set data.volume.shape: [depth, height, width]"
        )
