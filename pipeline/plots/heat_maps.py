"""Write each image next to saliency maps of its prediction."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor
from pipeline.data.dataset import Kind
from pipeline.errors import UserError
from pipeline.interpretation.layer_outputs import convolutions, last_map
from pipeline.interpretation.saliency import grad_cam, occlusion_map
from pipeline.plots.figure import save_figure
from pipeline.plots.interpretation import draw_saliency

if TYPE_CHECKING:
    from pipeline.inference.classifier import Classifier

_SHARE = 0.25  # side of the occluding box, as a share of the image's side
_BATCH = 256


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

    def write(self, images: NDArray[Any], probabilities: NDArray[np.float64], names: Sequence[str]) -> None:
        """Write the files of a batch. File names start with the number of the image, so that they are unique.

        Args:
            images: (n, *grid, channels) raw values.
            probabilities: (n, classes) predicted probabilities.
            names: Names of the images.
        """
        predicted = probabilities.argmax(axis=1)
        cams = self._class_activation(images, predicted)
        covered = occlusion_map(self._predict, images, predicted, _SHARE)
        for number, (image, label, name) in enumerate(zip(images, predicted, names, strict=True)):
            self._written += 1
            title = f"{self._classes[label]} {probabilities[number, label]:.3f}"
            bounds = (float(image.min()), float(image.max())) if self._bounds is None else self._bounds
            maps = cams[number, None], covered[number, None]
            figure = draw_saliency(image[None], [title], *maps, bounds, self._kind)
            save_figure(figure, self._folder / f"{self._written:05}-{Path(name).stem}.png")
