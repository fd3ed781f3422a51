"""An evaluation: its inputs, and the results that are computed from them when they are first needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.backend.predictor import make_predictor
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import Geometry, compute_geometry
from pipeline.data.dataset import Kind
from pipeline.data.rows import Rows
from pipeline.data.split import Split
from pipeline.data.training_data import TrainingData
from pipeline.evaluation.choice import Choice
from pipeline.evaluation.metrics import Predictions
from pipeline.evaluation.ood_detection import OODEvaluation, evaluate_ood_detection
from pipeline.evaluation.pixel_permutation import PixelPermutationResult, evaluate_permuted_pixels
from pipeline.evaluation.robustness import CorruptionResult, evaluate_corruptions
from pipeline.interpretation.layer_outputs import network_outputs
from pipeline.interpretation.network_outputs import NetworkOutputs
from pipeline.params import TrainingParams
from pipeline.sections import EvaluateParams


@dataclass(frozen=True)
class Evaluation:
    """A network, the data and settings with which it is evaluated, and the results.

    Attributes:
        params: The section `evaluate` of params.yaml.
        training: Training settings of the network.
        seed: Seed of the bootstrap, the corruptions and all other random draws.
        data: Metadata of the dataset, the training split and the validation split.
        candidate: The candidate from which the network was trained.
        test: The test split.
        outliers: The user's out-of-distribution images, by name.
        model: The network.
        digest: Digest of the network.
        model_path: File of the network.
        choice: Selection of the network on the validation split.
        runner_up: The runner-up of the selection; None: there is no runner-up.
    """

    params: EvaluateParams
    training: TrainingParams
    seed: int
    data: TrainingData
    candidate: Candidate
    test: Split
    outliers: dict[str, NDArray[Any]]
    model: Any
    digest: str
    model_path: Path
    choice: Choice
    runner_up: Any = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.data.dataset.classes

    @property
    def kind(self) -> Kind:
        """What the samples are."""
        return self.data.dataset.kind

    @cached_property
    def geometry(self) -> Geometry:
        """Geometry of the network."""
        return compute_geometry(self.candidate.architecture)

    @cached_property
    def predict(self) -> Callable[[Any], Any]:
        """Function from (n, *grid, channels) raw values to (n, classes) probabilities."""
        return make_predictor(self.model, self.params.batch_size)

    @cached_property
    def predictions(self) -> Predictions:
        """Predictions of the network for the test images."""
        return Predictions(self.predict(self.test.images), self.test.labels)

    @cached_property
    def runner_up_predictions(self) -> Predictions | None:
        """Predictions of the runner-up for the test images; None: there is no runner-up."""
        if self.runner_up is None:
            return None
        predict = make_predictor(self.runner_up, self.params.batch_size)
        return Predictions(predict(self.test.images), self.test.labels)

    @cached_property
    def corruption_results(self) -> tuple[CorruptionResult, ...]:
        """Accuracy under each corruption and severity."""
        corruptions = self.params.corruptions
        images, labels = self.test.images, self.test.labels
        return evaluate_corruptions(self.predict, images, labels, corruptions, self.seed, self.kind)

    @cached_property
    def ood(self) -> OODEvaluation:
        """The out-of-distribution detector, and how well it works."""
        params, images = self.params.out_of_distribution, self.test.images
        return evaluate_ood_detection(params, self.digest, self.outputs, self.data, images, self.outliers, self.seed)

    @cached_property
    def pixel_permutation(self) -> PixelPermutationResult:
        """Accuracy with and without a permutation of the pixels."""
        settings = self.params.pixel_permutation
        return evaluate_permuted_pixels(
            self.candidate.architecture,
            self.training,
            self.data,
            settings.images,
            settings.epochs,
            self.params.confidence_level,
            self.seed,
        )

    def outputs(self, images: Rows) -> Iterator[NetworkOutputs]:
        """Yield the outputs of the network's last layers for images, in parts."""
        return network_outputs(self.model, images, self.params.batch_size)
