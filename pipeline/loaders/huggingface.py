"""Read an image dataset with the package datasets of Hugging Face: from its cache, a folder, or the Hub."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pipeline.data.input_format import ImageFormat
from pipeline.data.value_range import ValueRange
from pipeline.decoding.decode import fetch_file
from pipeline.errors import UnreadableError, UserError, message_of, shown_first
from pipeline.images.file_names import printable
from pipeline.listing.entry import FileEntry, Listing
from pipeline.sources.image_files import read_images
from pipeline.sources.source import Source
from pipeline.terminal.console import buffered_stderr

# Names of splits on the Hub, by those of this project.
_SPLITS = {"train": ("train",), "val": ("validation", "val", "valid", "dev"), "test": ("test",)}
_LABELS = ("label", "labels", "class", "target", "y")
_SAVED = ("dataset_dict.json", "state.json")  # written by save_to_disk


def read_huggingface(
    place: str,
    image_format: ImageFormat,
    on_unreadable: Literal["error", "skip"],
    value_range: ValueRange,
    decoded: Path,
) -> Source:
    """Read the images of a dataset; see `list_huggingface`.

    Args:
        place: As for `list_huggingface`.
        image_format: How the images are converted.
        on_unreadable: What happens to rows that are not readable images.
        value_range: Raw values that the pixels are converted to.
        decoded: Folder of decoded images.

    Raises:
        UserError: The dataset cannot be listed, or rows have no readable image.
    """
    listing, content = list_huggingface(place)
    return read_images(listing, image_format, on_unreadable, value_range, decoded, content)


def list_huggingface(place: str) -> tuple[Listing, "RowContent"]:
    """List the splits train, validation and test of a dataset with one column of images and one of labels.

    Args:
        place: Name on the Hub, or a folder, optionally followed by a colon and the name of a configuration. A folder
            was written by `save_to_disk`, or contains files that `load_dataset` reads.

    Returns:
        The rows, and the function that returns the image in a row.

    Raises:
        UserError: The package is not installed, the dataset cannot be loaded, the columns cannot be determined, or rows
            have no label.
    """
    where = f"data.source: huggingface:{printable(place)}"
    if find_spec("datasets") is None:
        raise UserError(f"{where}: requires the package datasets; install it with `make extras EXTRAS=huggingface`")
    splits = _splits(_load(place, where), where)
    images, label = _columns(next(iter(splits.values())).features, where)
    classes, labels = _labels({split: rows[label] for split, rows in splits.items()}, splits["train"], label, where)
    entries = [
        FileEntry(split, number, f"{split}/{row}", f"{split if len(splits) > 1 else 'image'} {row}")
        for split, of_split in labels.items()
        for row, number in enumerate(of_split)
    ]
    name = printable(Path(place.partition(":")[0]).name)
    listing = Listing(name, where, classes, tuple(splits), tuple(entries))
    import datasets

    rows = {split: each.cast_column(images, datasets.Image(decode=False)) for split, each in splits.items()}
    return listing, RowContent(rows, images)


@dataclass(frozen=True)
class RowContent:
    """Function that returns the image file in a row.

    Attributes:
        rows: Datasets by split, whose images are not decoded. They are memory-mapped, also after pickling.
        column: Name of the column of images.
    """

    rows: Mapping[str, Any]
    column: str

    def __call__(self, address: Path | str, name: str) -> bytes:
        """Return the content of an image.

        Args:
            address: Split and number of the row, such as `train/17`.
            name: Name of the row in messages.

        Raises:
            UnreadableError: The row has no image, or its file cannot be read.
        """
        split, _, row = str(address).partition("/")
        image = self.rows[split][int(row)][self.column]
        if image is None or (image["bytes"] is None and not image["path"]):
            raise UnreadableError(f"{name}: must have an image, got none")
        return image["bytes"] if image["bytes"] is not None else fetch_file(Path(image["path"]), name)


def _load(place: str, where: str) -> Any:
    name, _, configuration = (place, "", "") if os.path.exists(place) else place.rpartition(":")
    if not name:
        name, configuration = place, ""
    with buffered_stderr():
        import datasets

        datasets.utils.logging.set_verbosity_error()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would warn of each attempt to connect
    try:
        if any(Path(name, marker).is_file() for marker in _SAVED):
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name, configuration or None)
    except Exception as error:  # any error of the library, of the network, or of the readers of files
        raise UserError(
            f"{where}: cannot be loaded: {message_of(error)}; pass the name of a dataset that is in the local cache, a "
            "folder that save_to_disk wrote, or connect to the internet, which downloads it once"
        ) from None


def _splits(loaded: Any, where: str) -> dict[str, Any]:
    """The datasets by this project's names of splits. A single dataset is the training split."""
    if not isinstance(loaded, dict):
        return {"train": loaded}
    splits = {}
    for split, names in _SPLITS.items():
        found = [name for name in names if name in loaded]
        if len(found) > 1:
            raise UserError(f"{where}: must have one {split} split, got {' and '.join(found)}; remove one")
        if found:
            splits[split] = loaded[found[0]]
    known = {name for names in _SPLITS.values() for name in names}
    foreign = [name for name in loaded if name not in known]
    if "train" not in splits or foreign:
        raise UserError(
            f"{where}: splits must be train and, optionally, validation and test, got {shown_first(list(loaded))}; "
            "rename or remove splits, and save the result with save_to_disk"
        )
    return splits


def _columns(features: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Names of the columns of images and of labels."""
    import datasets

    images = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
    labels = labels or [name for name in _LABELS if isinstance(features.get(name), datasets.Value)]
    for what, found in (("images", images), ("labels", labels)):
        if len(found) != 1:
            raise UserError(
                f"{where}: must have one column of {what}, got {shown_first(found) or 'none'} among "
                f"{shown_first(list(features))}; select or rename columns, and save the result with save_to_disk"
            )
    return images[0], labels[0]


def _labels(
    columns: Mapping[str, Sequence[Any]], train: Any, column: str, where: str
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Names of the classes, and the class of each row."""
    given = {split: list(values) for split, values in columns.items()}
    for split, values in given.items():
        missing = [row for row, value in enumerate(values) if value is None]
        if missing:
            raise UserError(
                f"{where}: each row must have a label in {column}, got none in {len(missing)} rows of {split}, first "
                f"in row {missing[0]}; remove these rows"
            )
    names = getattr(train.features[column], "names", None)
    if names is not None:
        classes = tuple(printable(name) for name in names)
        numbers = given
    else:
        values = sorted({value for of_split in given.values() for value in of_split})
        if not all(isinstance(value, str | int) for value in values):
            raise UserError(f"{where}: labels in {column} must be integers or names, got {values[0]!r}; convert them")
        classes = tuple(printable(str(value)) for value in values)
        place = {value: number for number, value in enumerate(values)}
        numbers = {split: [place[value] for value in of_split] for split, of_split in given.items()}
    for split, of_split in numbers.items():
        outside = [row for row, number in enumerate(of_split) if not 0 <= number < len(classes)]
        if outside:
            raise UserError(
                f"{where}: labels must be from 0 to {len(classes) - 1}, got {of_split[outside[0]]} in row {outside[0]} "
                f"of {split}{f' (and {len(outside) - 1} more)' if len(outside) > 1 else ''}; splits without labels "
                "cannot be used: remove them, and save the result with save_to_disk"
            )
    return classes, numbers
