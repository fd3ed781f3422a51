"""The example for volumes runs from the data to a champion that classifies new files, with a small budget."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, Clone

STAGES = ("pipeline.check", "pipeline.prepare", "search", "pipeline.train", "pipeline.evaluate", "pipeline.register")
SMALL: dict[str, Any] = {
    "data.volume.shape": [16, 16, 16], "training.epochs": 20, "training.patience": None, "training.batch_size": 8,
    "search.trials": 1, "search.epochs": 2, "search.min_epochs": 1, "search.min_steps": 0,
    "search.finalists.count": 0, "search.engine": "inline", "search.workers": 1, "evaluate.top_k": 2,
    "evaluate.corruptions": ["shift"],
    "evaluate.pixel_permutation.epochs": 1, "evaluate.interpretation.images": 1, "evaluate.interpretation.channels": 2,
}  # fmt: skip
COUNTS = '{"train": 40, "val": 10, "test": 20}'
WRITE = (
    f"import solids; from pathlib import Path; solids.write_solids(Path('data/raw/solids'), {COUNTS}, ('ball', 'rod'))"
)


@pytest.mark.slow
def test_the_example_runs_from_its_data_to_a_champion(fresh_clone: Clone) -> None:
    content = YAML(typ="safe").load(ROOT / "examples/solids.yaml")
    for key, value in SMALL.items():
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        assert last in section, key
        section[last] = value
    with (fresh_clone.root / "params.yaml").open("w") as file:
        YAML().dump(content, file)
    fresh_clone.run(sys.executable, "-c", WRITE, PYTHONPATH=str(fresh_clone.root / "benchmarks"))
    for stage in STAGES:
        fresh_clone.run("python", "-m", stage)
    dataset = json.loads((fresh_clone.root / "data/prepared/dataset.json").read_text())
    assert (dataset["kind"], dataset["input_shape"]) == ("volume", [16, 16, 16, 1])
    assert dataset["input_format"]["shape"] == [16, 16, 16]
    accuracy = json.loads((fresh_clone.root / "reports/evaluate/metrics.json").read_text())["accuracy"]
    assert accuracy > 0.75
    command = ("python", "-m", "pipeline.predict", "--format", "json", "data/raw/solids/test")
    found = json.loads(fresh_clone.run(*command).stdout)
    right = [each["predictions"][0]["class"] == Path(each["image"]).parent.name for each in found]
    assert len(right) == 40
    assert np.mean(right) == pytest.approx(accuracy)
