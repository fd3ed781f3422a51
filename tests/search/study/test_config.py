"""The name of a study: what it depends on, and what it does not."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import digest
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.data.dataset import Dataset
from pipeline.params import Block, Head, SearchParams
from pipeline.sections.load import load_params
from pipeline.training import fingerprint
from search.study.config import StudyConfig, study_config
from tests.search.harness import PARAMS

COMMITTED = load_params(PARAMS)
DATASET = Dataset(
    name="digits", input_shape=(8, 8, 1), dtype="uint8", classes=tuple("0123456789"), mean=(78.0,), std=(96.0,),
    counts={"train": {"0": 600, "1": 600}, "val": {"0": 100, "1": 100}},
    digests={"train": "1" * 64, "val": "2" * 64, "test": "3" * 64}, duplicates={}, skipped=(),
)  # fmt: skip


def configured(
    *,
    seed: int = 1,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    digests: dict[str, str] | None = None,
    classes: tuple[str, ...] = DATASET.classes,
    **settings: Any,
) -> StudyConfig:
    """The constants of the committed study with a few changes."""
    committed = COMMITTED.search.model_dump()
    for key in ("budget", "ray"):
        settings[key] = committed[key] | settings.get(key, {})
    params = COMMITTED.model_copy(
        update={
            "model": COMMITTED.model.model_copy(update=model),
            "training": COMMITTED.training.model_copy(update=training),
            "search": SearchParams.model_validate(committed | settings),
            "seed": seed,
        }
    )
    dataset = DATASET.model_copy(update={"classes": classes, "digests": DATASET.digests | (digests or {})})
    return study_config(params, dataset)


def test_equal_settings_have_equal_names() -> None:
    assert configured() == configured()
    assert configured().name == f"{configured().base}-{COMMITTED.search.trials}"


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 2},
        {"space": {"filters": {"choices": (4, 8)}}},
        {"budget": {"max_params": 123_456}},
        {"budget": {"max_latency_ms": 5.0}},
        {"epochs": 10},
        {"min_epochs": 9},
        {"min_steps": 100},
        {"reduction_factor": 2},
        {"fidelity": "data"},
        {"objectives": ("val_loss",)},
        {"objectives": ("val_accuracy", "params")},
        {"sampler": "random"},
        {"startup_trials": 5},
        {"startup": "random"},
        {"pruner": "none"},
        {"cost_aware": False},
        {"concurrency": 3},
        {"synchronous": False},
        {"model": {"head": Head()}},
        {"model": {"blocks": (Block(filters=4),)}},
        {"training": {"learning_rate": 0.1}},
        {"training": {"batch_size": 8}},
        {"training": {"threads": 3}},
        {"digests": {"train": "4" * 64}},
        {"digests": {"val": "4" * 64}},
        {"classes": (*"012345678", "nine")},
    ],
    ids="-".join,
)
def test_settings_that_affect_trials_change_the_base(changes: dict[str, Any]) -> None:
    assert configured(**changes).base != configured().base


@pytest.mark.parametrize(
    "changes",
    [
        {"digests": {"test": "4" * 64}},
        {"timeout_hours": 1.0},
        {"engine": "ray", "workers": 4},
        {"ray": {"cpus": 2.0}},
        {"storage": "postgresql+psycopg://host/db"},
        {"rung_timeout_minutes": 5.0},
        {"max_retries": 7},
        {"max_failures": 7},
        {"keep_checkpoints": 7},
        {"choose": "cheapest", "tolerance": 0.1},
        {"training": {"epochs": 77, "patience": None}},
    ],
    ids="-".join,
)
def test_settings_that_do_not_affect_trials_keep_the_name(changes: dict[str, Any]) -> None:
    assert configured(**changes).name == configured().name


def test_the_number_of_trials_changes_the_name_but_not_the_base() -> None:
    more = configured(trials=99)
    assert more.base == configured().base
    assert more.name == f"{more.base}-99"


def test_trials_are_trained_for_the_epochs_of_the_study_without_patience() -> None:
    expected = COMMITTED.training.model_copy(update={"epochs": 5, "patience": None})
    assert configured(epochs=5).training == expected


def test_an_enqueued_network_changes_the_base_regardless_of_its_file_name(tmp_path: Path) -> None:
    def enqueue(name: str, filters: int, **training: float) -> StudyConfig:
        network = Architecture(input_shape=(9, 9, 3), classes=2, blocks=(Block(filters=filters),), head=Head())
        write_candidate(Candidate(architecture=network, training=training), tmp_path / name)
        return configured(enqueue=(str(tmp_path / name),))

    one = enqueue("one.yaml", 4)
    assert one.first_trials[1].candidate.architecture.blocks == (Block(filters=4),)
    other = enqueue("another.yaml", 4)
    assert (other.name, other.base) == (one.name, one.base)
    assert other.first_trials[1].candidate == one.first_trials[1].candidate
    bases = {configured().base, one.base, enqueue("one.yaml", 5).base, enqueue("one.yaml", 4, learning_rate=0.1).base}
    assert len(bases) == 4


@pytest.fixture
def copied_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project's code, which determines the names of studies and training runs in the test."""
    root = Path(__file__).parents[3]
    for package in ("pipeline", "search"):
        shutil.copytree(root / package, tmp_path / package)
    monkeypatch.setattr(digest, "_ROOT", tmp_path)
    return tmp_path


def names() -> tuple[str, str]:
    """The part of a training's name that depends on the code, and the name of a study."""
    fingerprint.code_of.cache_clear()
    try:
        return fingerprint.training_code(), configured().base
    finally:
        fingerprint.code_of.cache_clear()


@pytest.mark.parametrize(
    ("path", "training", "study"),
    [
        *((f"pipeline/{name}.py", True, True) for name in (
            "trainers/steps_tensorflow", "cnn/build", "cnn/new/layer", "data/split", "params/space", "training/fit",
        )),
        *((f"search/{name}.py", False, True) for name in ("space/draw", "study/driver", "study/new/rule")),
        *((f"pipeline/{name}.py", False, False) for name in (
            "console", "params_file", "sections/gate_rules", "sections/evaluate", "description/notation",
            "evaluation/metrics", "pages/tables", "plots/mosaic",
            "report/quality", "tracking/live", "train",
        )),
        *((f"search/{name}.py", False, False) for name in (
            "analysis/importance", "engine/ray_engine", "estimate/plan", "plots/figures", "report/page", "stage",
            "storage/database",
        )),
    ],
)  # fmt: skip
def test_only_code_that_affects_results_is_part_of_a_name(
    copied_code: Path, path: str, training: bool, study: bool
) -> None:
    before = names()
    changed = copied_code / path
    changed.parent.mkdir(exist_ok=True)
    changed.write_text((changed.read_text() if changed.exists() else "") + "# changed\n")
    after = names()
    assert (before[0] != after[0], before[1] != after[1]) == (training, study)
