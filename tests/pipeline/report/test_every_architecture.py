"""Every architecture that a search can sample passes the whole evaluation."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import evaluate
from pipeline.cnn.build import build
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.cnn.geometry import Infeasible, compute_geometry
from pipeline.cnn.keras_file import save_model
from pipeline.corruptions.corruptions import CORRUPTIONS
from pipeline.data.dataset import Dataset, Kind, write_dataset
from pipeline.data.split import make_split, write_split
from pipeline.evaluation.choice import Choice, write_choice
from pipeline.inference.classifier import read_classifier
from pipeline.interpretation.layer_outputs import convolutions
from pipeline.sections import InterpretationParams, RegisterParams
from pipeline.sections.gate_rules import METRICS
from pipeline.sections.load import load_params
from pipeline.tracking.record import RunRecord, write_record
from tests.pipeline.cnn.architectures import random_architecture
from tests.pipeline.param_sections import params_with
from tests.pipeline.training.trainings import training

PARAMS = load_params(Path(__file__).resolve().parents[3] / "params.yaml").evaluate
BRIEF = PARAMS.model_copy(
    update={
        "resamples": 100,
        "mistakes": 4,
        "interpretation": InterpretationParams(images=1, channels=2, patches=1),
        "pixel_permutation": PARAMS.pixel_permutation.model_copy(update={"epochs": 1}),
    }
)
SECTIONS = ["quality", "comparison", "robustness", "ood", "pixel_permutation", "interpretation", "cost"]


def feasible_seeds(rank: int, count: int) -> list[int]:
    """Seeds of architectures that fit their input."""
    seeds: list[int] = []
    seed = 0
    while len(seeds) < count:
        seed += 1
        try:
            compute_geometry(random_architecture(seed, rank))
        except Infeasible:
            continue
        seeds.append(seed)
    return seeds


KINDS: dict[int, Kind] = {1: "series", 2: "image", 3: "volume"}
SAMPLE: list[tuple[Kind, int, int]] = [
    *((KINDS[rank], rank, seed) for rank, count in ((1, 1), (2, 6), (3, 1)) for seed in feasible_seeds(rank, count)),
    ("audio", 2, feasible_seeds(2, 1)[0]),
]


@pytest.mark.parametrize(
    ("kind", "rank", "seed"),
    [pytest.param(*each, marks=pytest.mark.slow if number in (1, 7, 8) else pytest.mark.long)
     for number, each in enumerate(SAMPLE)],
)  # fmt: skip
def test_an_architecture_passes_the_whole_evaluation(
    kind: Kind, rank: int, seed: int, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(empty_database, "mlflow.db")
    architecture, paths = random_architecture(seed, rank), evaluate.Paths()
    channels, numbers = architecture.input_shape[-1], np.random.default_rng(seed)
    classes = tuple(f"<class {number}>" for number in range(architecture.classes))
    digests = {}
    for name in ("train", "val", "test"):
        images = numbers.integers(0, 256, (30, *architecture.input_shape)).astype(np.uint8)
        split = make_split(name, images, numbers.integers(0, len(classes), 30))  # type: ignore[arg-type]
        write_split(split, paths.prepared / name)
        digests[name] = split.digest
    dataset = Dataset(
        name="noise", kind=kind, input_shape=architecture.input_shape, dtype="uint8", classes=classes, counts={},
        mean=(127.0,) * channels, std=(70.0,) * channels, digests=digests, duplicates={}, skipped=(),
    )  # fmt: skip
    write_dataset(dataset, paths.prepared / "dataset.json")
    write_candidate(Candidate(architecture=architecture, training={}), paths.candidate)
    save_model(build(architecture, dataset.mean, dataset.std, seed=seed), paths.model, classes)
    write_record(RunRecord("training", "0123456789abcdef", "train noise"), paths.training / "run.json")
    write_choice(
        Choice("baseline", None, "the study's winner is the baseline", 30, 0.5), paths.training / "choice.json"
    )
    register = RegisterParams(name="noise", gate=(), promote_if="better", alpha=0.05, margin=0.01, exports=())
    evaluate.run(params_with(evaluate=BRIEF, training=training(), seed=0, register_=register), paths)
    metrics = json.loads((paths.reports / "metrics.json").read_text())
    metrics |= json.loads((paths.reports / "details.json").read_text())
    assert all(math.isfinite(value) for value in metrics.values())
    undefined = {
        "robustness",
        "robustness_low",
        "robustness_high",
        "baseline_difference",
        "baseline_p_value",
    }  # the network guesses, and it is the baseline itself
    corruptions = {name for name in METRICS if name.removeprefix("accuracy_") in PARAMS.corruptions}
    assert {name for name in corruptions if name in metrics} == {f"accuracy_{name}" for name in CORRUPTIONS[kind]}
    of_files = {name for name in METRICS if name.startswith("whole_file_")}
    missing = {"auroc_outliers", "silhouette", *corruptions, *undefined, *of_files}
    assert set(METRICS) - missing <= set(metrics) <= set(METRICS)
    network = read_classifier(paths.model, paths.ood_detector)
    for name in convolutions(network.model):
        assert (paths.reports / f"deconvolution_{name}.png").stat().st_size > 1000
    assert (paths.reports / "saliency_mistakes.png").exists() == bool(convolutions(network.model))
    page = (paths.reports / "report.html").read_text()
    assert re.findall(r'<h2 id="(.*?)">', page) == SECTIONS
    assert "<class " not in page
    assert (" images" in page) == (kind == "image")
    probabilities, unfamiliar = network.classify(images)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(30))
    assert unfamiliar is not None
    assert unfamiliar.shape == (30,)
