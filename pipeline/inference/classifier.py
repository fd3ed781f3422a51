"""A trained network that is ready for inference, with its classes and its out-of-distribution detector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.data.input_format import ImageFormat, InputFormat
from pipeline.data.value_range import BYTES, ValueRange
from pipeline.digest import digest
from pipeline.inference.read_input import InputValues, read_input, why_no_files

if TYPE_CHECKING:
    import keras

    from pipeline.data.dataset import Dataset
    from pipeline.evaluation.ood import OODDetector

_BATCH = 256  # inputs that are classified at once
MODEL, OOD_DETECTOR = "model.keras", "ood_detector.npz"
_FORMER_OOD_DETECTOR = "familiarity.npz"  # file name in models that older versions registered


class Classification(NamedTuple):
    """Predictions of a network for n inputs.

    Attributes:
        probabilities: (n, classes) probabilities; each row sums to 1.
        unfamiliar: (n,) whether each input is unlike the training data; None: the network has no detector.
    """

    probabilities: NDArray[np.float64]
    unfamiliar: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Classifier:
    """A network with everything that inference needs.

    Attributes:
        model: The Keras model, from raw values to probabilities.
        classes: Names of the classes, in the order of the probabilities; empty: unknown.
        ood_detector: Out-of-distribution detector; None: unfamiliar inputs are not detected.
        value_range: Raw values of black and white; None: unknown.
        input_format: How a file becomes an input; None: unknown, so image files are read as by older versions.
    """

    model: "keras.Model"
    classes: tuple[str, ...]
    ood_detector: "OODDetector | None" = None
    value_range: ValueRange | None = BYTES
    input_format: InputFormat | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: its grid, then its channels."""
        return tuple(self.model.input_shape[1:])

    @property
    def why_no_files(self) -> str | None:
        """Why files cannot be inputs of the network; None if they can."""
        return why_no_files(self.input_format, self.input_shape, self.value_range)

    def read(self, source: Path | bytes, name: str) -> InputValues:
        """Read a file as an input, exactly as the training files were read.

        Args:
            source: Path or content of the file.
            name: Name of the file in messages.

        Raises:
            UserError: The file cannot be read, or files cannot be inputs of the network.
        """
        return read_input(source, name, self.input_format, self.input_shape, self.value_range)

    def classify(self, values: NDArray[Any]) -> Classification:
        """Classify inputs, all in one batch.

        Args:
            values: (n, *grid, channels) raw values.
        """
        from pipeline.backend.predictor import normalized
        from pipeline.interpretation.network_outputs import NetworkOutputs

        outputs, *inside = self._look(np.asarray(values, np.float32))
        probabilities = normalized(outputs)
        if self.ood_detector is None:
            return Classification(probabilities, None)
        features, logits = (np.asarray(each, np.float64) for each in inside)
        last = NetworkOutputs(features.reshape(len(features), -1), logits)
        return Classification(probabilities, self.ood_detector.is_unfamiliar(last))

    def classify_samples(self, samples: Sequence[NDArray[Any]]) -> Classification:
        """Classify samples of one or more inputs each, such as the pieces of a recording.

        Args:
            samples: (inputs, *grid, channels) raw values of each sample; at least one sample.

        Returns:
            For each sample, the mean of the probabilities of its inputs. A sample is unfamiliar if more than half of
            its inputs are.
        """
        from pipeline.backend.predictor import batch_that_fits

        values, size = np.concatenate(samples), batch_that_fits(self.model, _BATCH)
        found = [self.classify(values[start : start + size]) for start in range(0, len(values), size)]
        counts = np.array([len(sample) for sample in samples])
        starts = np.cumsum(counts) - counts
        probabilities = np.add.reduceat(np.concatenate([each.probabilities for each in found]), starts)
        flags = [each.unfamiliar for each in found if each.unfamiliar is not None]
        unfamiliar = np.add.reduceat(np.concatenate(flags).astype(int), starts) * 2 > counts if flags else None
        return Classification(probabilities / counts[:, None], unfamiliar)

    @cached_property
    def _look(self) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
        """Function from a batch to the probabilities and, with a detector, the features and logits that it needs."""
        import keras

        from pipeline.backend.predictor import make_batch_predictor
        from pipeline.interpretation.layer_outputs import last_layer

        if self.ood_detector is None:
            plain = make_batch_predictor(self.model)
            return lambda batch: [plain(batch)]
        outputs = [self.model.outputs[0], *last_layer(self.model).outputs]
        return make_batch_predictor(keras.Model(self.model.inputs, outputs))


def lineage(dataset: "Dataset") -> str:
    """Digest of what two networks must share to be comparable: class names, input shape, value range, input format.

    A format of older versions does not change the digest, so that networks remain comparable with theirs.
    """
    shared = [list(dataset.classes), list(dataset.input_shape)]
    if dataset.value_range != BYTES:
        shared.append([None if dataset.value_range is None else dataset.value_range.model_dump(mode="json")])
    declared = dataset.input_format
    if declared is not None and not (isinstance(declared, ImageFormat) and declared.is_former):
        shared.append([declared.model_dump(mode="json", exclude={"image_size"})])  # the input shape contains it
    return digest(*shared)


def read_classifier(model: Path, ood_detector: Path | None = None, whole_keras: bool = False) -> Classifier:
    """Read a network and its out-of-distribution detector.

    Without a detector, or with that of another network, the classifier does not flag unfamiliar inputs.

    Args:
        model: A .keras file, written by this project or by Keras.
        ood_detector: The file of the detector. Default: `ood_detector.npz` in the folder of `model`.
        whole_keras: Import all of Keras, for an application that uses other parts of it.

    Raises:
        UserError: A file is damaged, or the network's file is missing.
    """
    if ood_detector is None:
        candidates = [model.parent / name for name in (OOD_DETECTOR, _FORMER_OOD_DETECTOR)]
        ood_detector = next((path for path in candidates if path.exists()), candidates[0])
    from pipeline.backend.runtime import start_backend

    start_backend(whole_keras)
    from pipeline.cnn.keras_file import (
        load_model,
        model_digest,
        read_classes,
        read_input_format,
        read_value_range,
    )
    from pipeline.evaluation.ood import read_ood_detector

    loaded, known = load_model(model), read_ood_detector(ood_detector) if ood_detector.exists() else None
    own = known if known is not None and known.network == model_digest(loaded) else None
    return Classifier(loaded, read_classes(model), own, read_value_range(model), read_input_format(model))
