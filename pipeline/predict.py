"""Classify new files, such as images or series, with the registered network or with one from a file."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import UserError
from pipeline.terminal.arguments import add_params_option
from pipeline.terminal.console import note, run_main, say, show_messages

if TYPE_CHECKING:
    from pipeline.inference.classifier import Classifier
    from pipeline.inference.image_inputs import ImageInput

_BATCH = 256
_MAX_VALUES = 50_000_000  # values of a batch, which bounds the memory


@dataclass(frozen=True)
class Prediction:
    """Prediction for one image.

    Attributes:
        image: Name of the image.
        classes: Names and probabilities of the most likely classes, in descending order of probability.
        unfamiliar: Whether the image is out of distribution; None: the network has no out-of-distribution detector.
        error: Why the image could not be read; empty if it was read.
    """

    image: str
    classes: tuple[tuple[str, float], ...] = ()
    unfamiliar: bool | None = None
    error: str = ""

    def plain(self) -> dict[str, Any]:
        """Convert the prediction to the object for JSON output."""
        if self.error:
            return {"image": self.image, "error": self.error}
        flag = {} if self.unfamiliar is None else {"unfamiliar": self.unfamiliar}
        predictions = [{"class": name, "probability": value} for name, value in self.classes]
        return {"image": self.image, **flag, "predictions": predictions}


def load_network(name: str, root: Path = Path(".")) -> "Classifier":
    """Load a registered network, or one from a file, with the out-of-distribution detector next to it.

    Args:
        name: A `models:/…` address, or the path of a .keras file.
        root: The repository's root.

    Raises:
        UserError: The network is not found, its input is not an image, or its output is not a vector of probabilities.
    """
    from pipeline.inference.classifier import MODEL, read_classifier

    if name.startswith("models:/"):
        from pipeline.registry.artifacts import fetched_from

        with fetched_from(name, root) as folder:
            network = read_classifier(folder / MODEL)
    else:
        network = read_classifier(Path(name))
    try:
        takes, gives = network.model.input_shape, network.model.output_shape
    except AttributeError as error:  # a Sequential model without an Input
        raise UserError(
            f"--model: must have a defined input shape, got {name}: {str(error).rstrip('. ')}; "
            "start the model with keras.Input"
        ) from None
    if not _is_fixed(takes, rank=len(takes) - 1) or len(takes) not in (3, 4, 5):
        raise UserError(
            f"--model: input shape must be a fixed shape with one to three axes and channels, got {takes} in {name}; "
            "use `mlflow models serve` for other inputs"
        )
    if not _is_fixed(gives, rank=1) or gives[-1] < 2:
        raise UserError(
            f"--model: output must be one probability for each of two or more classes, got shape {gives} in {name}; "
            "use `mlflow models serve` for other outputs"
        )
    return network if network.classes else replace(network, classes=tuple(str(number) for number in range(gives[-1])))


def _is_fixed(shape: Any, rank: int) -> bool:
    """Whether a shape is that of a single array of the given rank in which only the batch size is undefined."""
    return isinstance(shape, tuple) and len(shape) == rank + 1 and all(isinstance(extent, int) for extent in shape[1:])


def predict(
    network: "Classifier", images: Iterable["ImageInput"], top: int, heat_maps: Path | None = None
) -> Iterator[Prediction]:
    """Yield the most likely classes of each image, in order. Only one batch of images is in memory at a time.

    Args:
        network: The network; its input must be images.
        images: The images to classify. For those that cannot be read, the prediction contains the error.
        top: Number of classes per image.
        heat_maps: Folder to which each image and its heat maps are written as a picture; None: no heat maps.

    Raises:
        UserError: The network has no known value range, or heat maps are not possible with it.
    """
    import numpy as np

    if (reason := network.why_no_files) is not None:
        raise UserError(f"--model: cannot classify files: {reason}")
    maps = None
    if heat_maps is not None:
        from pipeline.plots.heat_maps import HeatMaps

        maps = HeatMaps(network, heat_maps)
    for batch in _batches(network, images):
        read = [each for each in batch if not isinstance(each.values, str)]
        predictions: list[Prediction] = []
        if read:
            probabilities, unfamiliar = network.classify_samples([each.values for each in read])
            for number, each in enumerate(read):
                most_probable = np.argsort(-probabilities[number], kind="stable")[:top]
                classes = tuple(
                    (network.classes[label], float(probabilities[number, label])) for label in most_probable
                )
                flag = None if unfamiliar is None else bool(unfamiliar[number])
                predictions.append(Prediction(each.name, classes, flag))
            if maps is not None:
                maps.write([each.values for each in read], probabilities, [each.name for each in read])
        classified = iter(predictions)
        for each in batch:
            yield Prediction(each.name, error=each.values) if isinstance(each.values, str) else next(classified)


class _Sample(NamedTuple):
    """A named file: (inputs, *grid, channels) raw values, or why it cannot be read."""

    name: str
    values: Any


def _batches(network: "Classifier", images: Iterable["ImageInput"]) -> Iterator[list[_Sample]]:
    """Read files, and yield them in batches of about `_BATCH` inputs, or of fewer if they are large."""
    said: set[str] = set()
    batch: list[_Sample] = []
    inputs = size = 0
    for found in images:
        try:
            if found.problem:
                raise UserError(found.problem)
            values, remarks = network.read(found.source, found.shown)
            for topic in (each for each in remarks if each not in said):  # one note of each topic
                said.add(topic)
                note(f"note: {found.shown} {remarks[topic]}")
            batch.append(_Sample(found.shown, values))
            inputs += len(values)
            size += values.size
        except UserError as error:
            batch.append(_Sample(found.shown, str(error)))
        if max(inputs, len(batch)) >= _BATCH or size >= _MAX_VALUES:
            yield batch
            batch, inputs, size = [], 0, 0
    if batch:
        yield batch


def as_table(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a line for each image that was read. The first column is as wide as the longest name so far."""
    width = 0
    for each in predictions:
        if not each.error:
            width = max(width, len(each.image))
            classes = "  ".join(f"{name} {value:.4f}" for name, value in each.classes)
            yield f"{each.image:<{width}}  {classes}{'  unfamiliar' if each.unfamiliar else ''}"


def as_json(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield the lines of a JSON list with an object for each image."""
    last = ""
    for each in predictions:
        yield f"{last}," if last else "["
        last = _indented(json.dumps(each.plain(), indent=2))
    if last:
        yield last
    yield "]" if last else "[]"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def as_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield a CSV header and a row for each image and class. Images that could not be read have no rows."""
    yield "image,rank,class,probability,unfamiliar"
    for each in predictions:
        for rank, (name, value) in enumerate(each.classes, start=1):
            stream = io.StringIO()
            unfamiliar = "" if each.unfamiliar is None else str(each.unfamiliar).lower()
            csv.writer(stream, lineterminator="").writerow((each.image, rank, name, repr(value), unfamiliar))
            yield stream.getvalue()


_FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "table": as_table, "json": as_json, "csv": as_csv,
}  # fmt: skip


def _report_errors(predictions: Iterable[Prediction], errors: list[str]) -> Iterator[Prediction]:
    """Yield all predictions, and print those with an error to stderr. Names of these images are added to `errors`."""
    for each in predictions:
        if each.error:
            errors.append(each.image)
            print(f"error: {each.error}", file=sys.stderr)
        yield each


def main(prog: str = "python -m pipeline.predict") -> int:
    """Run the command. The exit status is 1 if an image could not be read."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "images", nargs="+", metavar="INPUT",
        help="a file of the network's kind (image, CSV series, recording, volume or .npy), a folder (searched "
        "recursively), a pattern such as 'new/*', or - to read a file or a list of names, one per line, from standard "
        "input",
    )  # fmt: skip
    parser.add_argument("--model", help="models:/NAME@ALIAS or a .keras file; default: the champion of params.yaml")
    parser.add_argument("--top", type=int, default=3, help="classes per input (default: %(default)s)")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="default: %(default)s")
    parser.add_argument("--heat-maps", type=Path, metavar="FOLDER", help="write the heat maps of each input to FOLDER")
    add_params_option(parser)
    given = parser.parse_args()
    show_messages(to_stderr=True)
    if given.top < 1:
        raise UserError(f"--top: must be at least 1, got {given.top}")
    if given.model == "":
        raise UserError("--model: must be models:/NAME@ALIAS or a .keras file, got ''; omit it to use the champion")
    from pipeline.sections.load import load_params

    model = given.model or f"models:/{load_params(given.params).register_.name}@champion"
    from pipeline.inference.image_inputs import find
    from pipeline.inference.read_input import slices_of, suffixes_of

    note(f"predict: loading {model}")
    network = load_network(model)
    errors: list[str] = []
    declared = network.input_format
    tables = declared is not None and declared.kind == "series"
    found = find(given.images, suffixes_of(declared, network.input_shape), slices_of(declared), tables)
    predictions = _report_errors(predict(network, found, given.top, given.heat_maps), errors)
    for text in _FORMATS[given.format](predictions):
        say(text)
    return int(bool(errors))


if __name__ == "__main__":
    run_main(main)
