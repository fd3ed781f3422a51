"""A network with a backbone passes the whole evaluation, and classifies files afterwards."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline import evaluate
from pipeline.backbones.weights_file import read_weights
from pipeline.cnn.build import build
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.cnn.keras_file import save_model
from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.evaluation.choice import Choice, write_choice
from pipeline.inference.classifier import read_classifier
from pipeline.interpretation.layer_outputs import last_map
from pipeline.interpretation.saliency import grad_cam
from pipeline.sections import RegisterParams
from pipeline.tracking.record import RunRecord, write_record
from tests.pipeline.backbones.files import architecture, save_random_weights
from tests.pipeline.param_sections import params_with
from tests.pipeline.report.test_every_architecture import BRIEF
from tests.pipeline.training.trainings import training

CLASSES = ("dark", "bright")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """An untrained head on a frozen backbone, for images of 40×36."""
    monkeypatch.chdir(tmp_path)
    save_random_weights(Path("small.weights.h5"))
    described = architecture((40, 36, 1), weights="small.weights.h5")
    model = build(described, (127.0,), (70.0,), seed=1)
    assert described.backbone is not None
    for layer, values in read_weights(described.backbone).items():
        model.get_layer(layer).set_weights(values)
    return model


def test_grad_cam_explains_the_last_map_of_the_backbone(network: keras.Model) -> None:
    layer = last_map(network)
    assert layer == "conv_pw_13_relu"
    images = np.random.default_rng(1).uniform(0, 255, (3, 40, 36, 1)).astype(np.float32)
    maps = grad_cam(network, layer)(images, np.array([0, 1, 0]))
    assert maps.shape == (3, 40, 36)
    assert maps.max() == pytest.approx(1.0)


@pytest.mark.slow
def test_a_backbone_passes_the_whole_evaluation(
    network: keras.Model, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, "mlflow.db")
    paths, numbers, digests = evaluate.Paths(), np.random.default_rng(1), {}
    for name in ("train", "val", "test"):
        images = numbers.integers(0, 256, (20, 40, 36, 1)).astype(np.uint8)
        split = make_split(name, images, numbers.integers(0, 2, 20))  # type: ignore[arg-type]
        write_split(split, paths.prepared / name)
        digests[name] = split.digest
    dataset = Dataset(
        name="noise", input_shape=(40, 36, 1), dtype="uint8", classes=CLASSES, counts={}, mean=(127.0,), std=(70.0,),
        digests=digests, duplicates={}, skipped=(),
    )  # fmt: skip
    write_dataset(dataset, paths.prepared / "dataset.json")
    described = architecture((40, 36, 1), weights="small.weights.h5")
    write_candidate(Candidate(architecture=described, training={}), paths.candidate)
    save_model(network, paths.model, CLASSES)
    write_record(RunRecord("training", "0123456789abcdef", "train noise"), paths.training / "run.json")
    write_choice(Choice("baseline", None, "there is no other network", 20, 0.5), paths.training / "choice.json")
    register = RegisterParams(name="noise", gate=(), promote_if="better", alpha=0.05, margin=0.01, exports=())
    brief = BRIEF.model_copy(update={"corruptions": ("blur",)})
    evaluate.run(params_with(evaluate=brief, training=training(), seed=0, register_=register), paths)
    page = (paths.reports / "report.html").read_text()
    assert "mobilenet" in page
    assert "Backbone" in page
    assert (paths.reports / "saliency_mistakes.png").exists()
    assert (paths.reports / "filters.png").exists()
    assert not list(paths.reports.glob("deconvolution_*"))
    metrics = json.loads((paths.reports / "metrics.json").read_text())
    metrics |= json.loads((paths.reports / "details.json").read_text())
    assert metrics["params"] == network.count_params()
    probabilities, unfamiliar = read_classifier(paths.model, paths.ood_detector).classify(images)
    assert probabilities.shape == (20, 2)
    assert unfamiliar is not None
