"""A project after `search`, for tests of the stage train."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline import train
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, Origin, write_candidate
from pipeline.data.dataset import write_dataset
from pipeline.data.split import write_split
from pipeline.sections.load import load_params
from pipeline.training.fit import training_key
from tests.pipeline.param_sections import params_with
from tests.pipeline.training.trainings import PLAIN, ROOT, figures, training

REPORTS = {"history.csv", "curves.png", "train.json", "run.json"}


PATHS = train.Paths(
    architecture=Path("architecture.yaml"), baseline=Path("baseline.yaml"), dataset=Path("data/dataset.json"),
    train=Path("data/train"), val=Path("data/val"), checkpoints=Path("states"),
)  # fmt: skip


OUTPUTS = {
    "models/model.keras",
    "models/model.yaml",
    "reports/train/choice.json",
    *(f"reports/train/{name}" for name in REPORTS),
}


SEARCH = load_params(ROOT / "params.yaml").search


@dataclass(frozen=True)
class Workspace:
    """A folder with prepared data and a candidate, in which the stage runs as in a project."""

    root: Path
    settings: dict[str, Any]
    data: Any = field(repr=False)

    def __post_init__(self) -> None:
        dataset, train_split, val_split = self.data.dataset, self.data.train, self.data.val
        (self.root / "data").mkdir(parents=True)
        write_dataset(dataset, self.root / "data" / "dataset.json")
        write_split(train_split, self.root / "data" / "train")
        write_split(val_split, self.root / "data" / "val")
        self.write(PLAIN)

    def write(self, architecture: Architecture, baseline: Architecture | None = None, **settings: Any) -> None:
        """Write the study's winner and the baseline, which defaults to the winner."""
        origin = Origin(study="study-1", trial=7, val_accuracy=0.5)
        candidate = Candidate(architecture=architecture, training=settings, origin=origin)
        write_candidate(candidate, self.root / "architecture.yaml")
        second = candidate if baseline is None else Candidate(architecture=baseline, training={})
        write_candidate(second.model_copy(update={"origin": None}), self.root / "baseline.yaml")

    @property
    def checkpoint(self) -> Path:
        key = training_key(PLAIN, training(**self.settings), self.data, 1)
        return self.root / "states" / f"{key}.npz"

    def run(self, **changes: Any) -> None:
        """Run the stage in this process, in the workspace's folder."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            search = SEARCH.model_copy(update=changes)
            train.run(params_with(training=training(**self.settings), search=search, seed=1), PATHS)

    def outputs(self) -> dict[str, bytes]:
        """The contents of the stage's outputs by path."""
        files = [*(self.root / "reports").rglob("*"), *(self.root / "models").rglob("*")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files if path.is_file()}

    def remaining(self) -> set[str]:
        """Names in the folder other than those of the inputs, the logs and MLflow's data."""
        known = {"data", "architecture.yaml", "baseline.yaml", "logs", "mlflow.db", "mlflow.db.lock", "mlartifacts"}
        return {path.name for path in self.root.iterdir()} - known


def make_workspace(root: Path, database: Path, data: Any = None, **settings: Any) -> Workspace:
    workspace = Workspace(root, settings, data or figures())
    shutil.copy(database, root / "mlflow.db")
    return workspace
