"""A rung of a trial: which exceptions become which outcome."""

import time
from dataclasses import replace
from typing import Any

import pytest
from tensorflow.errors import ResourceExhaustedError

from pipeline.backend.precision import has_bfloat16
from pipeline.cnn.geometry import Infeasible
from pipeline.params import Block
from pipeline.trainers.cache import TRAINER_CACHE
from pipeline.training.epoch_order import order_of_epoch
from pipeline.training.fit import Diverged
from search.study.folds import fold
from search.study.job import Job, RungResult, train_rung
from tests.pipeline.training.trainings import PLAIN, figures, training

DATA = figures()


def job(**changes: Any) -> Job:
    """A job of a training run of at most three epochs, up to the second one."""
    whole: dict[str, Any] = {
        "architecture": PLAIN, "training": training(), "seed": 1, "shares": (1.0, 1.0, 1.0), "until": 2, "state": None,
    }  # fmt: skip
    return Job(**whole | changes)


def untimed(outcome: RungResult) -> RungResult:
    return replace(outcome, seconds=0.0)


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every training raise an error."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("pipeline.training.fit.fit", fail)


@pytest.fixture(scope="module")
def trained() -> RungResult:
    """The outcome of two epochs, trained from the start."""
    return train_rung(job(), DATA)


def test_an_outcome_has_the_metrics_of_every_epoch_and_latency_only_on_request(trained: RungResult) -> None:
    assert [epoch["epoch"] for epoch in trained.history] == [1, 2]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1"} <= trained.history[0].keys()
    assert (trained.failure, trained.detail, trained.latency_ms) == (None, "", None)


def test_an_outcome_names_the_dtype_that_auto_chose() -> None:
    small, large = PLAIN, PLAIN.model_copy(update={"blocks": (Block(filters=128), Block(filters=128))})
    found = [
        train_rung(job(architecture=network, training=training(precision=precision), until=1), DATA).compute_dtype
        for network, precision in ((small, "auto"), (large, "auto"), (large, "float32"))
    ]
    assert found == ["float32", "bfloat16" if has_bfloat16() else "float32", "float32"]


def test_a_rung_resumes_from_the_state_of_the_previous_one(
    trained: RungResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_rung(job(until=1), DATA)
    assert first.history == trained.history[:1]
    epochs: list[int] = []

    def record(seed: int, epoch: int, *more: Any) -> Any:
        epochs.append(epoch)
        return order_of_epoch(seed, epoch, *more)

    monkeypatch.setattr("pipeline.training.fit.order_of_epoch", record)
    assert untimed(train_rung(job(state=first.state), DATA)) == untimed(trained)
    assert epochs == [2]


def test_a_job_may_train_on_another_fold(trained: RungResult) -> None:
    result = train_rung(job(fold=1), DATA)
    assert untimed(result) == untimed(train_rung(job(), fold(DATA, 1))) != untimed(trained)


def test_seconds_are_measured_by_the_clock() -> None:
    began = time.monotonic()
    outcome = train_rung(job(until=1), DATA)
    assert 0 < outcome.seconds <= time.monotonic() - began


@pytest.mark.parametrize("damaged", [b"damaged", b""])
def test_with_a_damaged_state_earlier_epochs_are_trained_again(trained: RungResult, damaged: bytes) -> None:
    assert untimed(train_rung(job(state=damaged), DATA)) == untimed(trained)


@pytest.mark.slow
def test_with_the_state_of_another_training_earlier_epochs_are_trained_again(trained: RungResult) -> None:
    other = train_rung(job(seed=2, until=1), DATA)
    assert untimed(train_rung(job(state=other.state), DATA)) == untimed(trained)


def test_a_training_that_diverges_is_an_outcome_with_its_latency() -> None:
    wild = training(learning_rate=1e3, optimizer="sgd")
    outcome = train_rung(job(training=wild, until=3, measure_latency=True), DATA)
    assert outcome.failure == "diverged"
    assert outcome.detail.startswith("epoch ")
    assert "loss must be a finite number, got " in outcome.detail
    assert (outcome.history, outcome.state) == ((), b"")
    assert outcome.latency_ms is not None
    assert outcome.latency_ms > 0
    assert outcome.seconds > 0


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (ResourceExhaustedError(None, None, "OOM when allocating\nmore about it"), "OOM when allocating more about it"),
        (MemoryError(), "the process ran out of memory"),
    ],
)
def test_running_out_of_memory_during_training_keeps_the_latency(
    monkeypatch: pytest.MonkeyPatch, error: Exception, detail: str
) -> None:
    fail_with(error, monkeypatch)
    outcome = train_rung(job(measure_latency=True), DATA)
    assert (outcome.failure, outcome.detail) == ("out_of_memory", detail)
    assert (outcome.history, outcome.state) == ((), b"")
    assert outcome.seconds > 0
    assert outcome.latency_ms is not None
    assert outcome.latency_ms > 0


def test_cached_trainers_are_dropped_only_after_running_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cleared: list[bool] = []
    monkeypatch.setattr(TRAINER_CACHE, "clear", lambda: cleared.append(True))
    for error, expected in ((Diverged("NaN"), []), (MemoryError(), [True])):
        fail_with(error, monkeypatch)
        train_rung(job(), DATA)
        assert cleared == expected


def test_a_network_that_is_too_slow_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(AssertionError("it was trained"), monkeypatch)
    outcome = train_rung(job(measure_latency=True, max_latency_ms=1e-9), DATA)
    assert outcome.latency_ms is not None
    assert outcome.latency_ms > 1e-9
    assert (outcome.history, outcome.state, outcome.failure) == ((), b"", None)
    assert outcome.seconds > 0


def test_a_network_that_is_fast_enough_is_trained(trained: RungResult) -> None:
    outcome = train_rung(job(measure_latency=True, max_latency_ms=1e9), DATA)
    assert outcome.latency_ms is not None
    assert untimed(outcome) == replace(trained, seconds=0.0, latency_ms=outcome.latency_ms)


def test_any_other_error_is_raised_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = (Block(filters=4, kernel_size=13, padding="valid"),)
    with pytest.raises(Infeasible, match="kernel of 13×13 is larger"):
        train_rung(job(architecture=PLAIN.model_copy(update={"blocks": blocks})), DATA)
    fail_with(bug := ZeroDivisionError("a bug"), monkeypatch)
    with pytest.raises(ZeroDivisionError) as caught:
        train_rung(job(), DATA)
    assert caught.value is bug
