"""What the sampler draws, with generated learning curves."""

from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from pipeline.params import BudgetParams
from pipeline.params.model import BackboneParams
from pipeline.sections.load import load_params
from search.study.job import Job, RungResult
from tests.search.harness import PARAMS, SMALL_SPACE, StudyHarness
from tests.search.study.curves import WIDE, rows
from tests.search.work import learn


@pytest.mark.slow
def test_tpe_uses_earlier_results_after_the_random_trials(tmp_path: Path) -> None:
    in_order = {"concurrency": 1, "cost_aware": False}
    drawn = [
        [
            row["drawn.learning_rate"]
            for row in rows(StudyHarness(tmp_path / name, trials=12, startup_trials=n, **in_order).run())
        ]
        for name, n in (("tpe", 6), ("random", 1000))
    ]
    assert drawn[0][:6] == drawn[1][:6]
    assert not set(drawn[0][6:]) & set(drawn[1][6:])


@pytest.mark.slow
def test_the_first_trials_keep_most_values_of_the_best_one_unless_drawn_at_random(tmp_path: Path) -> None:
    def kept(startup: str) -> list[float]:
        """The share of its values that each trial has in common with the best one before it."""
        harness = StudyHarness(
            tmp_path / startup, startup=startup, trials=16, startup_trials=16, space=load_params(PARAMS).search.space,
            concurrency=1, cost_aware=False, pruner="none",
        )  # fmt: skip
        found, best, shares = rows(harness.run()), 0, []
        for number, row in enumerate(found[1:], 1):
            drawn = [key for key in row if key.startswith("drawn.") and row[key] and found[best][key]]
            shares.append(sum(row[key] == found[best][key] for key in drawn) / len(drawn))
            if row["state"] == "complete" and float(row["val_accuracy"]) > float(found[best]["val_accuracy"]):
                best = number
        assert best > 0  # a later trial was better than the baseline
        return shares

    near, random = kept("near_best"), kept("random")
    assert min(near) > 0.5
    assert median(near) > 0.7
    assert median(random) < 0.5


@pytest.mark.slow
def test_tpe_uses_a_part_of_a_large_study_and_is_still_reproducible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"trials": 16, "objectives": ("val_accuracy", "params"), "space": WIDE}
    whole = StudyHarness(tmp_path / "whole", **settings).run()
    monkeypatch.setattr("search.study.sampler.ALL_ARE_SEEN", 6)
    seen = [StudyHarness(tmp_path / name, **settings).run() for name in ("one", "two")]
    assert seen[0] == seen[1]
    assert rows(seen[0])[:6] == rows(whole)[:6]
    assert seen[0] != whole


SAMPLERS = ["random", "cmaes", "nsga2", "qmc", "grid"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.slow
def test_every_sampler_is_reproducible(tmp_path: Path, sampler: str) -> None:
    space = SMALL_SPACE | {"learning_rate": {"choices": (0.001, 0.01, 0.1)}} if sampler == "grid" else SMALL_SPACE
    settings: dict[str, Any] = {"trials": 9, "sampler": sampler, "space": space, "pruner": "none"}
    table = StudyHarness(tmp_path / "one", **settings).run()
    assert table == StudyHarness(tmp_path / "two", **settings).run()
    assert len({row["architecture"] for row in rows(table)}) > 1
    if sampler != "random":
        drawn, at_random = (
            [[value for name, value in row.items() if name.startswith("drawn.")] for row in rows(each)[1:]]
            for each in (table, StudyHarness(tmp_path / "random", **settings | {"sampler": "random"}).run())
        )
        assert drawn != at_random
    if sampler == "grid":
        assert len({tuple(values) for values in drawn}) == len(drawn)


def test_a_sampler_whose_library_is_missing_is_reported_before_the_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sampler: gp needs the Python package torch.*make extras EXTRAS=gp"):
        StudyHarness(tmp_path, sampler="gp").run()


def test_an_infinite_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space\.learning_rate: sampler: grid requires a finite number of values"):
        StudyHarness(tmp_path, sampler="grid").run()


@pytest.mark.slow
def test_the_sampler_does_not_learn_from_a_backbone(tmp_path: Path) -> None:
    """Its variables are those of `model.blocks`, but its result is that of another network."""

    def drawn(accuracy: float) -> list[dict[str, str]]:
        def work(job: Job, data: TrainingData) -> RungResult:
            result = learn(job, data)
            if job.architecture.backbone is None:
                return result
            return replace(result, history=tuple(epoch | {"val_accuracy": accuracy} for epoch in result.history))

        harness = StudyHarness(
            tmp_path / str(accuracy), work, trials=10, startup_trials=6, concurrency=1, cost_aware=False, pruner="none",
            budget=dict.fromkeys(BudgetParams.model_fields),
        )  # fmt: skip
        backbone = BackboneParams(name="mobilenet", alpha=0.25, fine_tune="all")
        model = harness.params.model.model_copy(update={"backbone": backbone})
        harness.params = harness.params.model_copy(update={"model": model})
        found = rows(harness.run())
        assert float(found[0]["val_accuracy"]) == accuracy
        assert found[0]["effective.backbone"] == "mobilenet"
        assert found[1]["effective.backbone"] == ""
        return [{key: value for key, value in row.items() if key.startswith("drawn.")} for row in found[1:]]

    assert drawn(0.0) == drawn(1.0)
