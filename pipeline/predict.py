"""The registered network, or one in a file, on new images."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.params import load_params
from pipeline.terminal import UserError, run_main, say

if TYPE_CHECKING:
    import keras
    import numpy as np

_COLOR_MODES: dict[int, Literal["grayscale", "rgb"]] = {1: "grayscale", 3: "rgb"}
_BATCH = 256


@dataclass(frozen=True)
class Network:
    """A network that is ready to predict.

    Attributes:
        model: Raw pixels in, probabilities out.
        classes: Their names, in the order of the probabilities.
    """

    model: "keras.Model"
    classes: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Height, width, channels."""
        return tuple(self.model.input_shape[1:])

    @property
    def color_mode(self) -> Literal["grayscale", "rgb"]:
        """What images are converted to, as at training."""
        return _COLOR_MODES[self.input_shape[-1]]


@dataclass(frozen=True)
class Answer:
    """What the network says about one image file: likeliest classes first, or why it could not be read."""

    path: str
    predictions: tuple[tuple[str, float], ...] = ()
    error: str = ""


def load_network(name: str, root: Path = Path(".")) -> Network:
    """The network of a `models:/…` address, or in a .keras file.

    Raises:
        UserError: there is none, or it does not take images or not tell classes apart.
    """
    from pipeline.cnn.runtime import start_backend

    start_backend()
    if name.startswith("models:/"):
        from pipeline.tracking.registry import load_registered

        model, metadata = load_registered(name, root)
        classes = metadata.get("classes")
    else:
        from pipeline.cnn.keras_file import load_model, read_classes

        model = load_model(Path(name))
        classes = read_classes(Path(name))
    try:
        takes, gives = model.input_shape, model.output_shape
    except AttributeError as error:  # a Sequential without an Input
        raise UserError(f"--model: must know what it takes, got {name}: {error} Begin it with keras.Input") from None
    if not _is_fixed(takes, rank=3) or takes[-1] not in _COLOR_MODES:
        raise UserError(
            f"--model: must take images of one size (height, width, 1 or 3 channels), got {name}, "
            f"which takes {takes}; predict such data through mlflow models serve"
        )
    if not _is_fixed(gives, rank=1) or gives[-1] < 2:
        raise UserError(
            f"--model: must give a probability for each of two or more classes, got {name}, which gives {gives}; "
            "predict with it through mlflow models serve"
        )
    return Network(model, tuple(classes or (str(number) for number in range(gives[-1]))))


def _is_fixed(shape: Any, rank: int) -> bool:
    """Whether a network's shape is that of one array, known but for the number of images."""
    return isinstance(shape, tuple) and len(shape) == rank + 1 and all(isinstance(extent, int) for extent in shape[1:])


def predict(network: Network, paths: Sequence[Path], top: int) -> list[Answer]:
    """The `top` likeliest classes of each image file, in the order of the paths; unreadable ones are answered so."""
    import numpy as np

    read: dict[int, np.ndarray] = {}
    errors: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            read[number] = read_image(path, network)
        except UserError as error:
            errors[number] = str(error)
    probabilities: dict[int, np.ndarray] = {}
    if read:
        from pipeline.cnn.inference import predict_probabilities

        values = predict_probabilities(network.model, np.stack(list(read.values())), _BATCH)
        probabilities = dict(zip(read, values, strict=True))
    return [
        Answer(str(path), error=errors[number])
        if number in errors
        else Answer(str(path), _likeliest(probabilities[number], network.classes, top))
        for number, path in enumerate(paths)
    ]


def read_image(path: Path, network: Network) -> "np.ndarray":
    """An image file as the network takes it (height, width, channels), uint8.

    Raises:
        UserError: the file is missing, or no readable image.
    """
    from pipeline.data.image_files import decode_file

    height, width, _ = network.input_shape
    return decode_file(path, network.color_mode, (height, width))


def _likeliest(probabilities: "np.ndarray", classes: Sequence[str], top: int) -> tuple[tuple[str, float], ...]:
    order = (-probabilities).argsort(kind="stable")[:top]
    return tuple((classes[number], float(probabilities[number])) for number in order)


def as_table(answers: Sequence[Answer]) -> str:
    """A line for each image that was read."""
    answered = [answer for answer in answers if not answer.error]
    width = max((len(answer.path) for answer in answered), default=0)
    return "\n".join(
        f"{answer.path:<{width}}  " + "  ".join(f"{name} {value:.4f}" for name, value in answer.predictions)
        for answer in answered
    )


def as_json(answers: Sequence[Answer]) -> str:
    """A list with an object for each image."""
    return json.dumps([_plain(answer) for answer in answers], indent=2)


def as_csv(answers: Sequence[Answer]) -> str:
    """A row for each image and class, with a header; images that could not be read have none."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("image", "rank", "class", "probability"))
    for answer in answers:
        for rank, (name, value) in enumerate(answer.predictions, start=1):
            writer.writerow((answer.path, rank, name, repr(value)))
    return stream.getvalue().rstrip("\n")


def _plain(answer: Answer) -> dict[str, Any]:
    if answer.error:
        return {"image": answer.path, "error": answer.error}
    return {
        "image": answer.path,
        "predictions": [{"class": name, "probability": value} for name, value in answer.predictions],
    }


_FORMATS = {"table": as_table, "json": as_json, "csv": as_csv}


def main() -> int:
    """Predict; the exit status is 1 if an image could not be read."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.predict", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument("--model", help="models:/NAME@ALIAS or a .keras file; default: the champion of params.yaml")
    parser.add_argument("--top", type=int, default=3, help="classes per image (default: %(default)s)")
    parser.add_argument("--format", choices=_FORMATS, default="table", help="default: %(default)s")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: %(default)s")
    given = parser.parse_args()
    if given.top < 1:
        raise UserError(f"--top: must be at least 1, got {given.top}")
    if given.model == "":
        raise UserError("--model: must be models:/NAME@ALIAS or a .keras file, got ''; leave it out for the champion")
    model = given.model or f"models:/{load_params(given.params).register_.name}@champion"
    answers = predict(load_network(model), given.images, given.top)
    if text := _FORMATS[given.format](answers):
        say(text)
    for answer in answers:
        if answer.error:
            print(f"error: {answer.error}", file=sys.stderr)
    return int(any(answer.error for answer in answers))


if __name__ == "__main__":
    run_main(main)
