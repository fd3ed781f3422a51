"""Nominal time, which is computed from the size of a network and the rungs."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.cnn.training_cost import SECONDS_PER_IMAGE
from search.study.config import StudyConfig
from search.study.rungs import MACS_PER_SECOND, SECONDS_PER_RUNG, nominal_seconds
from tests.search.harness import StudyHarness

MACS = 2e6


def config(**settings: Any) -> StudyConfig:
    """A study with 1000 training images, whose rungs end after the epochs 1, 3 and 9."""
    return StudyHarness(Path("unused"), **settings).config


def nominal(study: StudyConfig, macs: float, first: int, last: int) -> float:
    """The nominal seconds of rungs of a study."""
    return nominal_seconds(study.rungs, study.images, macs, first, last)


def test_a_rung_costs_its_forward_and_backward_passes_and_a_constant() -> None:
    study = config()
    per_image = 3 * MACS / MACS_PER_SECOND + SECONDS_PER_IMAGE
    expected = [SECONDS_PER_RUNG + epochs * 1000 * per_image for epochs in (1, 2, 6)]
    assert [nominal(study, MACS, rung, rung + 1) for rung in range(3)] == pytest.approx(expected)


def test_several_rungs_cost_as_much_as_each_of_them() -> None:
    study = config()
    parts = [nominal(study, MACS, rung, rung + 1) for rung in range(3)]
    assert nominal(study, MACS, 0, 3) == pytest.approx(sum(parts))
    assert nominal(study, MACS, 1, 3) == pytest.approx(sum(parts[1:]))
    assert nominal(study, MACS, 2, 2) == 0.0


def test_a_larger_network_costs_more() -> None:
    study = config()
    small, large = (nominal(study, macs, 0, 3) for macs in (MACS, 2 * MACS))
    assert large - small == pytest.approx(9 * 1000 * 3 * MACS / MACS_PER_SECOND)


@pytest.mark.parametrize("fidelity", ["data", "both"])
def test_a_rung_with_a_part_of_the_images_costs_less(fidelity: str) -> None:
    part, whole = (nominal(config(fidelity=each), MACS, 0, 1) for each in (fidelity, "epochs"))
    assert part - SECONDS_PER_RUNG == pytest.approx((whole - SECONDS_PER_RUNG) / 9)
