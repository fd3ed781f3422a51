"""The training states of trials, in files."""

from pathlib import Path

import pytest

from search.study.checkpoints import RungCheckpoints


@pytest.fixture
def checkpoints(tmp_path: Path) -> RungCheckpoints:
    """The states of trials 1, 2 and 11 after two rungs."""
    made = RungCheckpoints(tmp_path / "states")
    for number in (1, 2, 11):
        for resource in (1, 3):
            made.write(number, resource, f"state {number} {resource}".encode())
    return made


def stored(checkpoints: RungCheckpoints) -> set[tuple[int, int]]:
    """The trials and rungs that have a state."""
    return {
        (number, resource)
        for number in (1, 2, 11)
        for resource in (1, 3)
        if checkpoints.read(number, resource) == f"state {number} {resource}".encode()
    }


def test_a_state_is_read_as_it_was_written(checkpoints: RungCheckpoints) -> None:
    assert checkpoints.read(11, 3) == b"state 11 3"
    checkpoints.write(11, 3, b"\x00 another \xff")
    assert checkpoints.read(11, 3) == b"\x00 another \xff"


def test_a_missing_state_is_that_of_the_rung_before_or_none(checkpoints: RungCheckpoints, tmp_path: Path) -> None:
    assert checkpoints.read(1, 9) == b"state 1 3"
    assert checkpoints.read(1, 2) == b"state 1 1"
    assert checkpoints.read(1, 0) is None
    assert RungCheckpoints(tmp_path / "none").read(1, 1) is None


def test_the_states_of_earlier_rungs_are_removed_for_one_trial_only(checkpoints: RungCheckpoints) -> None:
    checkpoints.remove_before(1, 3)
    assert stored(checkpoints) == {(1, 3), (2, 1), (2, 3), (11, 1), (11, 3)}
    checkpoints.remove_before(2, 9)  # the last state is not kept
    assert stored(checkpoints) == {(1, 3), (11, 1), (11, 3)}


def test_all_states_of_some_trials_are_removed(checkpoints: RungCheckpoints, tmp_path: Path) -> None:
    checkpoints.remove({1, 2, 7})
    assert stored(checkpoints) == {(11, 1), (11, 3)}
    RungCheckpoints(tmp_path / "none").remove({1})  # a study that has not stored any
