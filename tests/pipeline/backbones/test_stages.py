"""The stages from train to register with backbones, and the registered network without the file of weights."""

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import evaluate, predict, register, train
from pipeline.cnn.candidate import Candidate, read_candidate, write_candidate
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.errors import UserError
from pipeline.evaluation.choice import read_choice, write_choice
from pipeline.inference.classifier import Classification, Classifier, read_classifier
from pipeline.inference.export import export
from pipeline.sections import Params, RegisterParams
from pipeline.sections.register import ExportFormat
from tests.pipeline.backbones.files import architecture, save_random_weights
from tests.pipeline.param_sections import params_with
from tests.pipeline.report.test_every_architecture import BRIEF
from tests.pipeline.serving import model_server, post, tracking_server
from tests.pipeline.training.trainings import training
from tests.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of mlflow's own imports
]
WEIGHTS = Path("data/weights/small.weights.h5")
SHAPE, CLASSES = (24, 32, 3), ("edge", "middle")
CHAMPION = "models:/bars@champion"
RUNNER_UP = Path("reports/train/runner_up")


@dataclass(frozen=True)
class Project:
    """A folder in which the stages have run, without the file of weights since the end of evaluate.

    Attributes:
        root: The folder, which is the working directory.
        params: The parameters of the stages.
        images: Images of the test split.
        network: The saved network.
        expected: What the saved network answers for the images.
    """

    root: Path
    params: Params
    images: np.ndarray
    network: Classifier
    expected: Classification


def draw(numbers: np.random.Generator, count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a bright bar at the edge or in the middle, and the classes."""
    labels = np.arange(count) % 2
    images = numbers.integers(0, 90, (count, *SHAPE)).astype(np.uint8)
    images[labels == 0, :4] += 160
    images[labels == 1, 10:14] += 160
    return images, labels


def prepare(folder: Path) -> np.ndarray:
    """Write the splits as the stage prepare does; return the images of the test split."""
    numbers, digests = np.random.default_rng(1), {}
    for name in ("train", "val", "test"):
        images, labels = draw(numbers)
        split = make_split(name, images, labels)  # type: ignore[arg-type]
        write_split(split, folder / name)
        digests[name] = split.digest
    counts = {name: dict.fromkeys(CLASSES, 12) for name in digests}
    dataset = Dataset(
        name="bars", input_shape=SHAPE, dtype="uint8", classes=CLASSES, counts=counts, mean=(71.0,) * 3,
        std=(66.0,) * 3, digests=digests, duplicates={}, skipped=(),
    )  # fmt: skip
    write_dataset(dataset, folder / "dataset.json")
    return images


@contextmanager
def offline() -> Iterator[None]:
    """Fail on every attempt to open a connection."""

    def refuse(*given: Any) -> None:
        raise AssertionError(f"a connection to {given[1:]}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Project]:
    """A frozen backbone as the study's winner, and a fine-tuned one as the baseline, through all stages."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(empty_database, root / "mlflow.db")
    register_ = RegisterParams(
        name="bars", gate=("accuracy >= 0.5",), promote_if="better", alpha=0.05, margin=0.01, exports=()
    )
    params = params_with(
        evaluate=BRIEF.model_copy(update={"corruptions": ("blur",)}), training=training(epochs=16), seed=0,
        register_=register_,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        WEIGHTS.parent.mkdir(parents=True)
        save_random_weights(WEIGHTS)
        images, paths = prepare(Path("data/prepared")), train.Paths()
        for path, fine_tune, rate in ((paths.architecture, "none", 0.05), (paths.baseline, "all", 0.003)):
            described = architecture(SHAPE, weights=str(WEIGHTS), fine_tune=fine_tune)
            write_candidate(Candidate(architecture=described, training={"learning_rate": rate}), path)
        with offline():
            train.run(params)
            evaluate.run(params)
            WEIGHTS.unlink()
            register.run(params)
        network = read_classifier(paths.model)
        yield Project(root, params, images, network, network.classify(images))


def test_both_backbones_are_trained_and_the_better_one_is_evaluated(project: Project) -> None:
    """The features of random weights are of little use without fine-tuning."""
    choice = read_choice(Path("reports/train/choice.json"))
    assert (choice.chosen, choice.runner_up) == ("baseline", "winner")
    for path, fine_tune in ((Path("models/model.yaml"), "all"), (RUNNER_UP / "model.yaml", "none")):
        described = read_candidate(path).architecture.backbone
        assert described is not None
        assert described.fine_tune == fine_tune
    metrics = json.loads(Path("reports/evaluate/metrics.json").read_text())
    labels = np.arange(len(project.images)) % 2
    assert metrics["accuracy"] == (project.expected.probabilities.argmax(axis=1) == labels).mean()
    assert metrics["accuracy"] > 0.7


def test_the_evaluation_explains_the_backbone(project: Project) -> None:
    reports = Path("reports/evaluate")
    page = (reports / "report.html").read_text()
    assert "mobilenet" in page
    assert "Backbone" in page
    assert list(reports.glob("saliency_*.png"))
    assert (reports / "filters.png").exists()
    assert not list(reports.glob("deconvolution_*"))
    metrics = json.loads((reports / "metrics.json").read_text()) | json.loads((reports / "details.json").read_text())
    assert metrics["params"] == project.network.model.count_params()
    assert {"log_loss", "expected_calibration_error", "auroc_noise", "accuracy_blur"} <= set(metrics)
    assert project.expected.unfamiliar is not None


def require_equal(found: Classification, expected: Classification) -> None:
    """Require exactly the same answers for the same batch."""
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    assert found.unfamiliar is not None
    assert expected.unfamiliar is not None
    np.testing.assert_array_equal(found.unfamiliar, expected.unfamiliar)


def test_the_saved_network_consists_of_layers_of_keras(project: Project) -> None:
    modules = {type(layer).__module__.rpartition(".")[0] for layer in project.network.model.layers}
    assert all(module.startswith("keras.src.layers") or module == "keras.src.ops" for module in modules), modules


def test_the_registered_network_answers_like_the_saved_one(project: Project) -> None:
    import mlflow

    require_equal(predict.load_network(CHAMPION).classify(project.images), project.expected)
    answers = mlflow.pyfunc.load_model(CHAMPION).predict(project.images)
    found = [[answer["probabilities"][name] for name in CLASSES] for answer in answers]
    np.testing.assert_allclose(found, project.expected.probabilities, rtol=0, atol=1e-6)
    assert project.expected.unfamiliar is not None
    assert [answer["unfamiliar"] for answer in answers] == project.expected.unfamiliar.tolist()


def test_predict_answers_like_the_saved_network(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = [tmp_path / f"{number:02}.png" for number in range(len(project.images))]
    for file, image in zip(files, project.images, strict=True):
        Image.fromarray(image).save(file)
    heat_maps = tmp_path / "heat_maps"
    options = ["--model", CHAMPION, "--format", "json", "--heat-maps", str(heat_maps)]
    monkeypatch.setattr("sys.argv", ["predict", *map(str, files), *options])
    assert predict.main() == 0
    answers = json.loads(capsys.readouterr().out)
    found = [{each["class"]: each["probability"] for each in answer["predictions"]} for answer in answers]
    expected = [dict(zip(CLASSES, row, strict=True)) for row in project.expected.probabilities.tolist()]
    assert found == expected
    assert len(list(heat_maps.iterdir())) == len(files)


@pytest.mark.parametrize("name", ["onnx", pytest.param("litert", marks=pytest.mark.long)])
def test_an_export_answers_like_the_saved_network(project: Project, name: ExportFormat, tmp_path: Path) -> None:
    model = project.network.model
    (result,) = export(model, (name,), tmp_path, project.images, project.expected.probabilities)
    assert result.largest_difference < 1e-5


@pytest.mark.parametrize("stage", [train, evaluate])
def test_a_stage_refuses_a_missing_or_changed_file_and_keeps_its_outputs(project: Project, stage: Any) -> None:
    outputs = [Path(name) for name in ("models/model.keras", "reports/train/choice.json", "reports/evaluate/run.json")]
    kept = [path.read_bytes() for path in outputs]
    with pytest.raises(UserError, match=r"small\.weights\.h5: no such file; it is never downloaded: .*save_weights"):
        stage.run(project.params)
    try:
        WEIGHTS.write_bytes(b"other weights")
        with pytest.raises(UserError, match=r"must be the file with SHA-256 \w{64} .* got \w{64}; restore it"):
            stage.run(project.params)
    finally:
        WEIGHTS.unlink()
    assert [path.read_bytes() for path in outputs] == kept


@pytest.mark.long
def test_the_frozen_backbone_passes_evaluation_and_registration(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(shutil.copytree(project.root, tmp_path / "copy"))
    save_random_weights(WEIGHTS)
    described = architecture(SHAPE, weights=str(WEIGHTS))  # the digest of the new file
    write_candidate(Candidate(architecture=described, training={}), Path("models/model.yaml"))
    shutil.move(RUNNER_UP / "model.keras", "models/model.keras")
    shutil.move(RUNNER_UP / "run.json", "reports/train/run.json")
    choice = read_choice(Path("reports/train/choice.json"))
    write_choice(replace(choice, chosen="winner", runner_up=None), Path("reports/train/choice.json"))
    evaluate.run(project.params)
    WEIGHTS.unlink()
    register.run(project.params)
    expected = read_classifier(Path("models/model.keras")).classify(project.images)
    require_equal(predict.load_network("models:/bars/2").classify(project.images), expected)


@pytest.mark.long
def test_servers_answer_like_the_saved_network(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Registered on a real MLflow server, and served over HTTP from a folder without the project."""
    (elsewhere := tmp_path / "elsewhere").mkdir()
    with tracking_server(tmp_path, free_port()) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        register.run(project.params)
        require_equal(predict.load_network(CHAMPION).classify(project.images), project.expected)
        with model_server(CHAMPION, elsewhere, port := free_port()):
            status, response = post(port, {"inputs": project.images.tolist()})
    assert status == 200
    found = [[each["probabilities"][name] for name in CLASSES] for each in response["predictions"]]
    np.testing.assert_allclose(found, project.expected.probabilities, rtol=0, atol=1e-6)
    assert project.expected.unfamiliar is not None
    assert [each["unfamiliar"] for each in response["predictions"]] == project.expected.unfamiliar.tolist()
