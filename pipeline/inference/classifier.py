"""A trained network that is ready to answer, with what travels with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.value_range import BYTES, ValueRange
from pipeline.digest import digest
from pipeline.images.decode import COLOR_MODES, ColorMode

if TYPE_CHECKING:
    import keras

    from pipeline.data.dataset import Dataset
    from pipeline.evaluation.ood import OODDetector

MODEL, FAMILIARITY = "model.keras", "familiarity.npz"


class Classification(NamedTuple):
    """What a network says about n inputs.

    Attributes:
        probabilities: (n, classes), each row sums to 1.
        unfamiliar: (n,), whether the network was trained on nothing like it; None: it cannot tell.
    """

    probabilities: NDArray[np.float64]
    unfamiliar: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Classifier:
    """A network.

    Attributes:
        model: raw values in, probabilities out.
        classes: their names, in the order of the probabilities; empty: unknown.
        familiarity: the detector of unfamiliar inputs; None: they are not detected.
        value_range: raw values of black and white; None: unknown.
    """

    model: "keras.Model"
    classes: tuple[str, ...]
    familiarity: "OODDetector | None" = None
    value_range: ValueRange | None = BYTES

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input: its grid, then its channels."""
        return tuple(self.model.input_shape[1:])

    @property
    def color_mode(self) -> ColorMode:
        """What images are converted to, as at training."""
        return COLOR_MODES[self.input_shape[-1]]

    def classify(self, values: NDArray[Any]) -> Classification:
        """Answer in one step.

        Args:
            values: (n, *grid, channels), raw values.
        """
        from pipeline.backend.predictor import normalized
        from pipeline.evaluation.ood import NetworkOutputs

        outputs, *inside = self._look(np.asarray(values, np.float32))
        probabilities = normalized(outputs)
        if self.familiarity is None:
            return Classification(probabilities, None)
        features, logits = (np.asarray(each, np.float64) for each in inside)
        insight = NetworkOutputs(features.reshape(len(features), -1), logits)
        return Classification(probabilities, self.familiarity.is_unfamiliar(insight))

    @cached_property
    def _look(self) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """From a batch to the probabilities, and to what the familiarity needs besides."""
        import keras

        from pipeline.backend.epoch import make_prediction_epoch
        from pipeline.interpretation.layer_outputs import last_layer

        if self.familiarity is None:
            plain = make_prediction_epoch(self.model, self.input_shape)
            return lambda batch: [plain(batch)]
        outputs = [self.model.outputs[0], *last_layer(self.model).outputs]
        return make_prediction_epoch(keras.Model(self.model.inputs, outputs), self.input_shape)


def lineage(dataset: "Dataset") -> str:
    """Names what networks must share to be compared: names of classes, in their order, input shape, and value range."""
    shared = [list(dataset.classes), list(dataset.input_shape)]
    if dataset.value_range != BYTES:
        shared.append([None if dataset.value_range is None else dataset.value_range.model_dump(mode="json")])
    return digest(*shared)


def read_classifier(model: Path, familiarity: Path, whole_keras: bool = False) -> Classifier:
    """The network in a file; without the other file, or with another network's, it cannot tell unfamiliar inputs.

    Args:
        model: a file that this project wrote, or Keras.
        familiarity: what tells unfamiliar inputs.
        whole_keras: import all of Keras, for an application that uses other parts of it.

    Raises:
        UserError: a file is damaged, or the first one is missing.
    """
    from pipeline.backend.runtime import start_backend

    start_backend(whole_keras)
    from pipeline.cnn.keras_file import load_model, model_digest, read_classes, read_value_range
    from pipeline.evaluation.ood import read_ood_detector

    loaded, known = load_model(model), read_ood_detector(familiarity) if familiarity.exists() else None
    own = known if known is not None and known.network == model_digest(loaded) else None
    return Classifier(loaded, read_classes(model), own, read_value_range(model))
