"""The plan of a study: the size of its space, and its estimated cost."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from pipeline.data.dataset import Dataset, write_dataset
from pipeline.errors import UserError
from pipeline.params import SearchParams
from pipeline.sections import Params
from pipeline.terminal.progress import duration
from search.engine.inline import InlineEngine
from search.estimate import plan
from search.estimate.precheck import RandomDraws, draw_sample, size_in_words
from search.paths import Paths
from search.study.config import study_config
from search.study.job import Job
from search.study.rungs import make_rungs
from tests.search.harness import PARAMS, StudyHarness
from tests.search.spaces import MODEL, WIDE, space

DIGITS = Dataset(
    name="digits", input_shape=(8, 8, 1), dtype="uint8", classes=tuple("0123456789"), mean=(78.0,), std=(96.0,),
    counts={"train": {"0": 600, "1": 600}, "val": {"0": 100, "1": 100}},
    digests={"train": "1" * 64, "val": "2" * 64}, duplicates={}, skipped=(),
)  # fmt: skip
SMALL_BUDGET = {"max_params": 14_000, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None}


def params(**settings: Any) -> tuple[Params, SearchParams]:
    harness = StudyHarness(Path("unused"), **settings)
    return harness.params, harness.settings


def plan_output(folder: Path, capsys: pytest.CaptureFixture[str], timing: bool = False, **settings: Any) -> str:
    folder.mkdir(exist_ok=True)
    write_dataset(DIGITS, folder / "dataset.json")
    found, search = params(**settings)
    plan.run(found.model_copy(update={"search": search}), Paths(prepared=folder), timing)
    return capsys.readouterr().out


def rehearsed(**settings: Any) -> list[plan.RequestedRung]:
    found, search = params(**settings)
    return plan.rehearse(study_config(found.model_copy(update={"search": search}), DIGITS))


def test_data_prepared_with_other_params_are_refused(tmp_path: Path) -> None:
    lock, shipped = tmp_path / "dvc.lock", PARAMS
    plan.require_prepared(shipped, lock)  # without a lock, nothing can be compared
    lock.write_text((PARAMS.parent / "dvc.lock").read_text())
    plan.require_prepared(shipped, lock)
    other = tmp_path / "params.yaml"
    other.write_text(shipped.read_text().replace("  val_fraction: 0.25 ", "  val_fraction: 0.3 "))
    with pytest.raises(UserError, match=r"data: must match the values .*`fovea run prepare` first"):
        plan.require_prepared(other, lock)


@given(seed=st.integers(0, 2**32), low=st.integers(1, 60), more=st.integers(0, 60), step=st.integers(1, 9))
def test_random_draws_are_values_that_optuna_could_draw(seed: int, low: int, more: int, step: int) -> None:
    draws, high = RandomDraws(seed), low + more

    def check(value: float, distribution: BaseDistribution) -> None:
        assert distribution._contains(distribution.to_internal_repr(value))

    check(draws.suggest_int("x", low, high, log=True), IntDistribution(low, high, log=True))
    check(draws.suggest_int("x", low, high, step=step), IntDistribution(low, high - more % step, step=step))
    check(draws.suggest_float("x", low / 7, high / 7), FloatDistribution(low / 7, high / 7))
    check(draws.suggest_float("x", low / 7, high / 7, log=True), FloatDistribution(low / 7, high / 7, log=True))
    assert low / 10 <= draws.suggest_float("x", low / 10, high / 10, step=step / 10) <= high / 10


def test_every_integer_of_a_logarithmic_range_is_drawn_including_its_ends() -> None:
    draws = RandomDraws(0)
    assert {draws.suggest_int("x", 1, 6, log=True) for _ in range(500)} == set(range(1, 7))


def test_the_last_step_of_a_range_that_ends_on_it_is_drawn() -> None:
    draws = RandomDraws(0)
    drawn = {round(draws.suggest_float("x", 0.0, 0.3, step=0.1), 10) for _ in range(200)}
    assert drawn == {0.0, 0.1, 0.2, 0.3}


def test_a_finite_space_is_counted() -> None:
    assert size_in_words(space(filters=[4, 8], kernel_size=[3, 5, 7]), MODEL) == "6 different candidates"


def test_an_infinite_space_is_counted_with_three_values_per_range() -> None:
    printed = size_in_words(space(filters=[4, 8], learning_rate={"low": 0.001, "high": 0.1}), MODEL)
    assert printed.startswith("infinitely many candidates (continuous ranges: learning_rate)")
    assert "; 6 with three values" in printed
    assert "about" in size_in_words(WIDE, MODEL)


def test_a_sample_counts_violations_by_rule_and_sorts_the_rest_by_cost() -> None:
    _, search = params(budget=SMALL_BUDGET, space={"filters": {"choices": (4, 32, 64)}})
    sample = draw_sample(search.space, MODEL, search.budget, (8, 8, 1), 10, 300)
    assert set(sample.broken) == {"max_params"}
    assert sample.broken["max_params"] + len(sample.feasible) == 300
    macs = [cost["macs"] for _, cost in sample.feasible]
    assert macs == sorted(macs)


def test_a_space_in_which_nothing_fits_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="none of 1000 random draws fits"):
        plan_output(tmp_path, capsys, budget=SMALL_BUDGET, space={"filters": {"choices": (512, 1024)}})


@pytest.mark.slow
def test_the_plan_without_timing_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(plan, "measure")
    space_of = {"filters": {"choices": (4, 8, 64)}, "learning_rate": {"low": 0.001, "high": 0.1, "log": True}}
    text = plan_output(tmp_path, capsys, budget=SMALL_BUDGET, space=space_of)
    assert text.startswith("search space: infinitely many candidates (continuous ranges: learning_rate)")
    assert re.search(r"^3\d\.\d% of 1,000 random draws do not fit: max_params 3\d\.\d%$", text, re.M)
    assert re.search(r"^  most expensive +[\d,]+ +[\d,]+ +[\d.]+  conv 8 3×3", text, re.M)
    assert re.search(r"^estimated nominal time, which .*: about [\d,]+ s$", text, re.M)
    assert "training time" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


def test_a_plan_needs_prepared_data(tmp_path: Path) -> None:
    found, search = params()
    with pytest.raises(UserError, match=r"dataset\.json: no such file; run `dvc repro prepare`"):
        plan.run(found.model_copy(update={"search": search}), Paths(prepared=tmp_path), timing=False)


def test_without_pruning_every_trial_is_rehearsed_to_the_last_rung() -> None:
    asked, (_, search) = rehearsed(trials=4, pruner="none"), params()
    assert len(asked) == 4 * len(make_rungs(search))
    assert sum(each.epochs for each in asked) == 4 * search.epochs
    assert sum(each.images for each in asked) == 4 * search.epochs * 1200


def test_pruning_saves_rehearsed_epochs() -> None:
    assert sum(each.epochs for each in rehearsed(trials=12)) < 12 * 9


def test_rungs_on_a_share_of_the_images_are_rehearsed_with_that_share() -> None:
    asked = rehearsed(trials=1, pruner="none", fidelity="data")
    assert [each.images for each in asked] == pytest.approx([1200 / 9, 1200 / 3, 7 * 1200])


def test_two_rehearsals_agree() -> None:
    assert rehearsed(trials=8) == rehearsed(trials=8)


@pytest.mark.parametrize(
    ("objectives", "most_ms"), [(("val_loss", "params", "latency_ms"), None), (("val_loss", "params"), 1.0)]
)
def test_several_objectives_and_latency_are_rehearsed(
    monkeypatch: pytest.MonkeyPatch, objectives: tuple[str, ...], most_ms: float | None
) -> None:
    jobs: list[Job] = []

    class Recording(InlineEngine):
        def submit(self, number: int, job: Job) -> None:
            jobs.append(job)
            super().submit(number, job)

    monkeypatch.setattr(plan, "InlineEngine", Recording)
    settings: dict[str, Any] = {"trials": 60, "budget": SMALL_BUDGET | {"max_latency_ms": most_ms}}
    asked = rehearsed(objectives=objectives, **settings)
    assert [job.measure_latency for job in jobs] == [job.state is None for job in jobs]
    assert [each.epochs for each in asked].count(1) == 60
    assert 60 < len(asked) < 60 * 3
    assert asked != rehearsed(objectives=("val_loss",), **settings)


def test_a_long_study_is_extrapolated_from_its_first_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_REHEARSED", 5)
    text = plan_output(tmp_path, capsys, trials=50, pruner="none")
    assert "a study of 50 trials" in text
    assert "extrapolated from 5 trials: about 150 rungs, 450 epochs" in text


def test_the_finalists_are_rehearsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_REHEARSED", 5)
    asked = rehearsed(trials=50, pruner="none", finalists={"count": 2, "seeds": 4, "cross_validation": True})
    finals = [each for each in asked if each.times == 1.0]
    assert len(finals) in (8, 12)  # the baseline may be one of the two
    assert {each.epochs for each in finals} == {9}
    assert {each.times for each in asked if each not in finals} == {10.0}
    assert len(asked) - len(finals) == 15


@pytest.mark.slow
def test_the_training_time_is_divided_among_the_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "measure", lambda *_: plan.Pace(rung=30.0, image=0.0, mac=0.0))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    cluster = {"address": "auto", "cpus": 1.0, "gpus": 0.0, "memory_gb": None}
    several: dict[str, Any] = {"trials": 4, "pruner": "none", "engine": "ray", "ray": cluster, "workers": 3}
    text = plan_output(tmp_path, capsys, timing=True, **several)
    assert "estimated time of the study with 3 workers: about 2.1 minutes, of which 2 minutes of training" in text
    several["concurrency"] = 2
    text = plan_output(tmp_path, capsys, timing=True, **several)
    assert "estimated time of the study with 2 workers: about 3.1 minutes, of which 3 minutes of training" in text
    several["engine"] = "processes"  # which share the processors of one machine
    text = plan_output(tmp_path, capsys, timing=True, **several)
    assert "estimated time of the study with 2 workers: about 3.7 minutes, of which 3.5 minutes of training" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "2 seconds"), (119, "119 seconds"), (150, "2.5 minutes"), (1500, "25 minutes"), (9000, "2.5 hours")],
)
def test_durations_are_formatted(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.slow
def test_the_pace_of_this_machine_is_measured_on_random_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = plan_output(tmp_path, capsys, timing=True, trials=2, epochs=2, space={"filters": {"choices": (2, 4)}})
    assert re.search(r"^training speed of this machine, .* s per rung, .* µs per image, plus ", text, re.M)
    assert re.search(r"^estimated time of the study with 1 worker: about .*, of which .* of training$", text, re.M)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]
