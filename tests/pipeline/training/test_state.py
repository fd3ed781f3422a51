"""Serialized training states."""

from typing import Any

import pytest

from pipeline.cnn.architecture import Architecture
from pipeline.training.fit import Fit, fit
from pipeline.training.state import StateError, unpack
from tests.pipeline.training.trainings import (
    PLAIN,
    RANDOM,
    figures,
    training,
)

DATA = figures()


HARD = figures(hard=True)


def train(
    architecture: Architecture = PLAIN, data: Any = DATA, seed: int = 1, shares: Any = None, **settings: Any
) -> Fit:
    return fit(architecture, training(**settings), data, seed=seed, shares=shares)


@pytest.fixture(scope="module")
def plain() -> Fit:
    """Three epochs in which only the initial weights and the order of images are random."""
    return train()


@pytest.mark.parametrize(
    ("architecture", "data", "seed", "settings"),
    [
        (RANDOM, DATA, 1, {}),
        (PLAIN, HARD, 1, {}),
        (PLAIN, DATA, 2, {}),
        (PLAIN, DATA, 1, {"learning_rate": 0.02}),
    ],
    ids=["architecture", "data", "seed", "settings"],
)
def test_the_state_of_another_training_is_refused(
    plain: Fit, architecture: Architecture, data: Any, seed: int, settings: dict[str, Any]
) -> None:
    with pytest.raises(StateError, match="must be from the training with the same architecture"):
        fit(architecture, training(**settings), data, seed=seed, state=plain.state)


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY", b"PK\x03\x04"])
def test_bytes_that_are_not_a_state_are_refused(content: bytes) -> None:
    with pytest.raises(StateError, match="must be an npz archive from fit"):
        fit(PLAIN, training(), DATA, seed=1, state=content)


@pytest.mark.slow
def test_a_state_with_a_damaged_byte_anywhere_is_refused(plain: Fit) -> None:
    for place in range(0, len(plain.state), 29):
        damaged = bytearray(plain.state)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(StateError):
            unpack(bytes(damaged))


def test_a_truncated_state_is_refused(plain: Fit) -> None:
    for length in range(0, len(plain.state), 101):
        with pytest.raises(StateError):
            unpack(plain.state[:length])


def test_a_state_is_no_larger_than_training_requires(plain: Fit) -> None:
    """A study stores many states, each with weights, best weights and Adam's two moments: four times the network."""
    assert len(plain.state) < 4 * 4 * plain.model().count_params() + 10_000
