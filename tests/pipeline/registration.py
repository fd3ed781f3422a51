"""A project folder in the state after `evaluate`, for tests of the stage register."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline import register
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import Split, make_split, write_split
from pipeline.digest import file_sha256
from pipeline.evaluation.ood import fit_ood_detector, write_ood_detector
from pipeline.interpretation.network_outputs import NetworkOutputs
from pipeline.sections import RegisterParams
from pipeline.sections.gate_rules import PromoteIf
from pipeline.tracking.record import MODEL_SHA256, RunRecord, write_record
from tests.pipeline.param_sections import params_with
from tests.pipeline.training.trainings import training

if TYPE_CHECKING:
    from pipeline.registry.versions import Alias, Registry, Version


PARAMS = Path(__file__).parents[2] / "params.yaml"

BRIGHTNESS = np.linspace(0.2, 1.0, 5)


@dataclass
class Workspace:
    """A project folder after `evaluate`, with a tiny network and ten kinds of images lit in the upper or lower half."""

    root: Path
    name: str = "tiny"
    gate: tuple[str, ...] = ("accuracy >= 0.5",)
    exports: tuple[Literal["onnx", "litert"], ...] = ()
    classes: tuple[str, ...] = ("upper", "lower")
    version: int = 0  # of the test data: other pixels, the same predictions
    threads: int = 1
    promote_if: PromoteIf = "better"
    copies: int = 20
    training: str = "training"  # key of its run
    metrics: dict[str, float] = field(default_factory=lambda: {"accuracy": 1.0, "log_loss": 0.3})

    def network(self, bias: float) -> None:
        """Write a network biased towards `upper`: from a bias of 1.6 on, it misclassifies one image in ten."""
        import keras

        from pipeline.cnn.keras_file import save_model

        model = keras.Sequential(
            [
                keras.Input((4, 4, 1), name="pixels"),
                keras.layers.Rescaling(1 / 255, name="rescaled"),
                keras.layers.Flatten(name="flat"),
                keras.layers.Dense(len(self.classes), kernel_initializer="zeros", name="scores"),
                keras.layers.Softmax(name="probabilities"),
            ],
            name="tiny",  # automatically numbered names would make equal networks differ
        )
        weights = np.zeros((16, len(self.classes)), np.float32)
        weights[:8, 0] = 1.0
        weights[8:, 1] = 1.0
        model.layers[-2].set_weights([weights, np.array([bias, *[0.0] * (len(self.classes) - 1)], np.float32)])
        save_model(model, self.paths.model, self.classes)
        self.metrics["accuracy"] = 1.0 - (bias > 8 * BRIGHTNESS).sum() / 10

    def digest(self) -> str:
        from pipeline.cnn.keras_file import load_model, model_digest

        return model_digest(load_model(self.paths.model))

    @property
    def paths(self) -> register.Paths:
        """The stage's default paths, below the workspace."""
        below = {name: self.root / path for name, path in register.Paths().__dict__.items()}
        return register.Paths(**below)

    def images(self) -> np.ndarray:
        images = np.zeros((10, 4, 4, 1), np.uint8)
        for number, brightness in enumerate(BRIGHTNESS):
            images[number, :2] = images[5 + number, 2:] = round(255 * brightness)
        images[9, 0, 0] += self.version
        return np.tile(images, (self.copies, 1, 1, 1))

    def test(self) -> Split:
        return make_split("test", self.images(), np.tile(np.repeat([0, 1], 5), self.copies))

    def write(self) -> None:
        """Write the outputs of the stages before `register`."""
        paths = self.paths
        shutil.rmtree(paths.prepared, ignore_errors=True)
        test = self.test()
        write_split(test, paths.prepared / "test")
        dataset = Dataset(
            name="tiny",
            input_shape=(4, 4, 1),
            dtype="uint8",
            classes=self.classes,
            counts={"test": dict.fromkeys(self.classes, 5)},
            mean=(127.5,),
            std=(127.5,),
            digests={"test": test.digest},
            duplicates={},
            skipped=(),
        )
        write_dataset(dataset, paths.prepared / "dataset.json")
        paths.evaluation.mkdir(parents=True, exist_ok=True)
        (paths.evaluation / "metrics.json").write_text(json.dumps(self.metrics))
        (paths.evaluation / "details.json").write_text("{}")
        seen = NetworkOutputs(np.random.default_rng(0).normal(size=(20, 16)), np.zeros((20, 2)))
        write_ood_detector(
            fit_ood_detector(self.digest(), seen, np.arange(20) % 2, [seen], "features", 0.05), paths.ood_detector
        )
        record = RunRecord("training", self.training, "tiny", status="FINISHED")
        write_record(record, self.root / "reports" / "train" / "run.json")
        write_record(
            RunRecord(
                "evaluation",
                "evaluation",
                "tiny",
                parent=self.training,
                status="FINISHED",
                tags={
                    "model_digest": self.digest(),
                    "test_digest": test.digest,
                    MODEL_SHA256: file_sha256(paths.model),
                },
                metrics=[(f"test_{name}", 0, value) for name, value in self.metrics.items()],
            ),
            paths.evaluation / "run.json",
        )

    def register(self) -> dict[str, Any]:
        self.write()
        return self.decide()

    def decide(self) -> dict[str, Any]:
        """Run the stage on what was written."""
        paths = self.paths
        section = RegisterParams(
            name=self.name, gate=self.gate, promote_if=self.promote_if, alpha=0.05, margin=0.01, exports=self.exports
        )
        register.run(params_with(register_=section, training=training(threads=self.threads), seed=1), paths)
        content: dict[str, Any] = json.loads(paths.report.read_text())
        return content

    def registry(self) -> "Registry":
        from pipeline.mlflow_server.connection import connect
        from pipeline.registry.versions import Registry

        return Registry(connect(self.root), self.name)

    def versions(self) -> list["Version"]:
        return self.registry().versions()

    def decision(self, number: int) -> dict[str, Any]:
        (version,) = (version for version in self.versions() if version.number == number)
        content: dict[str, Any] = json.loads(version.tags["fovea.decision"])
        return content

    def aliases(self) -> dict[str, int]:
        registry = self.registry()
        found = registry.server.client.get_registered_model(self.name).aliases
        return {alias: int(number) for alias, number in found.items()}

    def description(self, number: int) -> str:
        registry = self.registry()
        return str(registry.server.client.get_model_version(self.name, str(number)).description)

    def run_tag(self, key: str) -> str | None:
        """The tag `alias` of a training run."""
        from pipeline.tracking.publisher import MlflowPublisher

        run = MlflowPublisher(self.registry().server, self.root).find(key)
        assert run is not None
        return run.tags.get("alias")

    def move(self, alias: "Alias", number: int) -> None:
        """Move an alias, as a user does in the UI."""
        registry = self.registry()
        registry.server.client.set_registered_model_alias(self.name, alias, str(number))
