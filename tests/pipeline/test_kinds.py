"""Series and volumes pass through all stages, from arrays to a served network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.data.split import read_split

ROOT = Path(__file__).resolve().parents[2]
# Loads the champion as an application does, and prints its predictions for nested lists.
SERVED = """
import json
import mlflow
import numpy as np
mlflow.set_tracking_uri("sqlite:///mlflow.db")
champion = mlflow.pyfunc.load_model("models:/fovea@champion")
samples = np.load("data/prepared/test/images.npy").tolist()
print(json.dumps(champion.unwrap_python_model().predict(None, samples)))
"""
COUNT, CLASSES = 120, ("slow", "fast", "faster")


def series(labels: np.ndarray) -> np.ndarray:
    """(n, time, channels): a wave whose frequency is the class, and noise."""
    draw, time = np.random.default_rng(0), np.arange(32) / 32
    waves = np.sin(2 * np.pi * (2 + 3 * labels[:, None] * time + draw.uniform(0, 1, (len(labels), 1))))
    return np.stack([waves, draw.normal(size=waves.shape)], axis=-1).astype(np.float32)


def volumes(labels: np.ndarray) -> np.ndarray:
    """(n, depth, height, width): a bright plane across the axis of the class."""
    found = np.random.default_rng(0).normal(100, 10, (len(labels), 6, 7, 8))
    for volume, label in zip(found, labels, strict=True):
        volume[tuple(slice(2, 4) if axis == label else slice(None) for axis in range(3))] += 80
    return found.clip(0, 255).astype(np.uint8)


def write_params(folder: Path, kind: str) -> None:
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "npz:arrays.npz", "kind": kind}
    params["training"] |= {"epochs": 8, "batch_size": 16}
    params["training"]["augmentation"] |= {"shift": 0.05, "noise": 0.1}
    params["search"] |= {"trials": 2, "epochs": 2, "min_steps": 0, "engine": "inline", "workers": 1, "concurrency": 1}
    params["search"]["finalists"]["count"] = 0
    params["search"]["space"] = {"filters": [8, 16], "learning_rate": {"low": 0.001, "high": 0.01, "log": True}}
    params["evaluate"]["resamples"] = 100
    params["evaluate"]["pixel_permutation"]["epochs"] = 1
    params["register"]["gate"] = ["accuracy >= 0.1"]
    yaml.dump(params, folder / "params.yaml")


@pytest.mark.long
@pytest.mark.parametrize(("kind", "make"), [("series", series), ("volume", volumes)])
def test_a_kind_passes_through_all_stages(kind: str, make: Any, tmp_path: Path) -> None:
    labels = np.arange(COUNT) % 3
    np.savez(tmp_path / "arrays.npz", x_train=make(labels), y_train=labels, classes=CLASSES)
    write_params(tmp_path, kind)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    for stage in ("pipeline.prepare", "search", "pipeline.train", "pipeline.evaluate", "pipeline.register"):
        done = subprocess.run(
            [sys.executable, "-m", stage], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    dataset = json.loads((tmp_path / "data/prepared/dataset.json").read_text())
    assert dataset["kind"] == kind
    metrics = json.loads((tmp_path / "reports/evaluate/metrics.json").read_text())
    assert metrics["accuracy"] > 0.6
    page = (tmp_path / "reports/evaluate/report.html").read_text()
    assert {"series": "corrupted test series", "volume": "corrupted test volumes"}[kind] in page
    assert " images" not in page

    served = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    predictions = json.loads(served)
    test = read_split(tmp_path / "data/prepared/test", "test")
    right = [each["label"] == CLASSES[label] for each, label in zip(predictions, test.labels, strict=True)]
    assert np.mean(right) == pytest.approx(metrics["accuracy"], abs=1e-5)
    assert {each["unfamiliar"] for each in predictions} <= {True, False}
