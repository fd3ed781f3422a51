"""Which candidates fit their input and the budget."""

from typing import Any

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.geometry import compute_geometry
from pipeline.params import Block, BudgetParams, Head
from search.space.feasibility import check_feasibility, nothing_fits, over_budget, too_slow


def candidate(**block: Any) -> Candidate:
    """A network for 8×8 pixels with a block of four 3×3 kernels."""
    blocks = (Block.model_validate({"filters": 4, "kernel_size": 3, "pooling": "max", "pool_size": 2} | block),)
    architecture = Architecture(input_shape=(8, 8, 1), classes=3, blocks=blocks, head=Head())
    return Candidate(architecture=architecture, training={})


def budget(**limits: float) -> BudgetParams:
    return BudgetParams.model_validate(
        {"max_params": None, "max_macs": None, "max_activation_mb": None, "max_latency_ms": None} | limits
    )


def test_a_candidate_without_limits_fits_and_has_the_costs_of_its_geometry() -> None:
    found = check_feasibility(candidate(), budget())
    geometry = compute_geometry(candidate().architecture)
    assert (found.violations, found.sentence) == ({}, "")
    assert found.cost == {
        "params": geometry.params,
        "trainable_params": geometry.trainable_params,
        "macs": geometry.macs,
        "activation_bytes": geometry.activation_bytes,
        "receptive_field": 4,
    }


@pytest.mark.parametrize(
    ("limit", "cost", "lower", "what"),
    [
        ("max_params", 235, 117, "parameters"),
        ("max_macs", 2496, 1248, "multiply-accumulates per image"),
        ("max_activation_mb", 3084 / 2**20, 2000 / 2**20, "MiB of layer outputs per image"),
    ],
)
def test_a_violation_is_the_share_by_which_a_cost_exceeds_its_limit(
    limit: str, cost: float, lower: float, what: str
) -> None:
    assert check_feasibility(candidate(), budget(**{limit: cost})).violations == {}
    assert check_feasibility(candidate(), budget(**{limit: 2 * cost})).violations == {}
    found = check_feasibility(candidate(), budget(**{limit: lower}))
    assert found.violations == {limit: pytest.approx(cost / lower - 1)}
    assert f"{what} exceed search.budget.{limit} of" in found.sentence


def test_all_violations_are_found_at_once() -> None:
    found = check_feasibility(candidate(), budget(max_params=1, max_macs=1, max_activation_mb=1e-6))
    assert list(found.violations) == ["max_params", "max_macs", "max_activation_mb"]
    assert found.sentence.count("; ") == 2


def test_a_network_that_does_not_fit_its_input_has_no_costs() -> None:
    found = check_feasibility(candidate(kernel_size=9), budget(max_params=1))
    assert (found.cost, found.violations) == ({}, {"geometry": 1.0})
    assert "kernel of 9×9 is larger than its feature map of 8×8" in found.sentence


def test_a_network_that_takes_too_long_violates_the_limit_of_the_latency() -> None:
    found = too_slow({"params": 5, "latency_ms": 5.0}, budget(max_latency_ms=2.0))
    assert found.violations == {"max_latency_ms": pytest.approx(1.5)}
    assert found.cost == {"params": 5, "latency_ms": 5.0}
    assert found.sentence == "5 ms for one image exceed search.budget.max_latency_ms of 2"


def test_costs_are_those_of_a_sample_of_the_kind() -> None:
    assert (
        "multiply-accumulates per recording exceed"
        in check_feasibility(candidate(), budget(max_macs=1), "audio").sentence
    )
    assert "ms for one volume exceed" in too_slow({"latency_ms": 3.0}, budget(max_latency_ms=2.0), "volume").sentence


def test_errors_name_the_place_the_reason_and_the_remedy() -> None:
    verdict = check_feasibility(candidate(), budget(max_params=100))
    error = over_budget("search.enqueue: large.yaml", verdict)
    assert str(error).startswith(
        "params.yaml: search.enqueue: large.yaml: the network must not exceed the budget, but "
    )
    assert str(error).endswith("of 100; make it smaller, or raise search.budget")
    text = nothing_fits("the last 200 draws", verdict.sentence)
    assert "none of the last 200 draws fits, for example: " in text
    assert verdict.sentence in text
