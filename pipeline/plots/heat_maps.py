"""Write each image next to saliency maps of its prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor
from pipeline.data.dataset import Kind
from pipeline.errors import UserError
from pipeline.interpretation.layer_outputs import convolutions, last_map
from pipeline.interpretation.saliency import grad_cam, occlusion_map
from pipeline.plots.figure import save_figure
from pipeline.plots.interpretation import draw_saliency
from pipeline.terminal.console import note

if TYPE_CHECKING:
    from pipeline.inference.classifier import Classifier

_SHARE = 0.25  # side of the occluding box, as a share of the image's side
_BATCH = 256
MAX_PARTS = 12  # of a long series or recording, whose maps are drawn


class _Chosen(NamedTuple):
    """The parts of an image whose maps are drawn: the explained class, their numbers, and their titles."""

    label: int
    places: NDArray[np.intp]
    titles: list[str]


class HeatMaps:
    """Writes a PNG file for each image: the image, Grad-CAM of the last convolution, and an occlusion map.

    Args:
        network: The network that classifies the images.
        folder: Folder for the files.

    Raises:
        UserError: The network has no convolution or was not trained by this project, or the folder cannot be created.
    """

    def __init__(self, network: "Classifier", folder: Path) -> None:
        model = network.model
        if not convolutions(model) or "scores" not in {layer.name for layer in model.layers}:
            raise UserError(
                "--heat-maps: requires a network with a convolution that was trained by this project; remove the option"
            )
        self._classes, self._folder, self._written = network.classes, folder, 0
        self._bounds = None if network.value_range is None else network.value_range.bounds
        self._kind: Kind = "image" if network.input_format is None else network.input_format.kind
        self._class_activation, self._predict = grad_cam(model, last_map(model)), make_predictor(model, _BATCH)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--heat-maps: {folder}: must be a writable folder: {error.strerror}") from None

    def write(self, samples: Sequence[NDArray[Any]], probabilities: NDArray[np.float64], names: Sequence[str]) -> None:
        """Write the files of a batch. File names start with the number of the image, so that they are unique.

        Of a long series or recording, the picture shows the parts that most support the predicted class, in order.

        Args:
            samples: (inputs, *grid, channels) raw values of each image; several inputs are the parts of a long one.
            probabilities: (n, classes) predicted probabilities.
            names: Names of the images.
        """
        chosen = [
            self._choose(parts, of_sample, name)
            for parts, of_sample, name in zip(samples, probabilities, names, strict=True)
        ]
        shown = np.concatenate([parts[each.places] for parts, each in zip(samples, chosen, strict=True)])
        labels = np.concatenate([np.full(len(each.places), each.label) for each in chosen])
        cams = self._class_activation(shown, labels)
        covered = occlusion_map(self._predict, shown, labels, _SHARE)
        start = 0
        for each, name in zip(chosen, names, strict=True):
            self._written += 1
            here = slice(start, start := start + len(each.places))
            drawn = shown[here]
            bounds = (float(drawn.min()), float(drawn.max())) if self._bounds is None else self._bounds
            figure = draw_saliency(drawn, each.titles, cams[here], covered[here], bounds, self._kind)
            save_figure(figure, self._folder / f"{self._written:05}-{Path(name).stem}.png")

    def _choose(self, parts: NDArray[Any], probabilities: NDArray[np.float64], name: str) -> _Chosen:
        """Choose the parts of an image to draw, and say how many are left out."""
        label = int(probabilities.argmax())
        predicted = self._classes[label]
        if len(parts) == 1:
            return _Chosen(label, np.zeros(1, np.intp), [f"{predicted} {probabilities[label]:.3f}"])
        support = self._predict(parts)[:, label]
        places = np.sort(np.argsort(-support, kind="stable")[:MAX_PARTS])
        if len(places) < len(parts):
            note(
                f"note: {name} has {len(parts)} parts; heat maps show the {len(places)} in which {predicted} is most "
                f"probable, not the other {len(parts) - len(places)}"
            )
        titles = [f"{predicted} {support[place]:.3f}, part {place + 1} of {len(parts)}" for place in places]
        return _Chosen(label, places, titles)
