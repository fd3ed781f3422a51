"""The rules for series, each checked on what was found in a few of them."""

from typing import Any

import pytest

from pipeline.surveys.series_rules import SeriesFacts, SeriesRules, series_rules


def rules(*lengths: int, every: bool = True, grouped: bool = False, fewest: int = 50, **facts: Any) -> SeriesRules:
    found = [SeriesFacts(length, 1, **({"incomplete": False} | facts)) for length in lengths]
    return series_rules(found, every=every, grouped=grouped, fewest=fewest, dividable=True)


def chosen(found: SeriesRules) -> dict[str, Any]:
    return {choice.key.removeprefix("data.series."): choice.value for choice in found.settings}


def test_equal_series_are_whole_inputs() -> None:
    found = rules(150, 150)
    assert chosen(found) == {
        "window": None, "hop": None, "rate": None, "lengths": "error", "missing": "error", "split_by": "random",
    }  # fmt: skip
    assert (found.window, found.inputs_per_series()) == (150, 1.0)


@pytest.mark.parametrize(("lengths", "every"), [((150, 140), True), ((150, 150), False)])
def test_series_that_may_be_shorter_are_padded(lengths: tuple[int, ...], every: bool) -> None:
    assert chosen(rules(*lengths, every=every))["lengths"] == "pad"


def test_a_longer_test_series_does_not_determine_the_length() -> None:
    facts = [SeriesFacts(26, 1, False), SeriesFacts(20, 1, False), SeriesFacts(29, 1, False, split="test")]
    assert series_rules(facts, every=True, grouped=False, fewest=20, dividable=False).window == 26


def test_long_series_become_overlapping_windows() -> None:
    found = rules(2100, 512)
    assert (found.window, found.hop, chosen(found)["lengths"]) == (256, 128, "pad")
    assert found.inputs_per_series() == (16 + 3) / 2


@pytest.mark.parametrize(
    ("lengths", "fewest", "grouped", "expected"),
    [
        pytest.param((6000, 6000), 2, False, "time", id="few and long"),
        pytest.param((6000, 300), 2, False, "random", id="too short"),
        pytest.param((6000, 6000), 50, False, "random", id="many"),
        pytest.param((6000, 6000), 2, True, "group", id="grouped"),
    ],
)
def test_few_long_series_are_divided_in_time(
    lengths: tuple[int, ...], fewest: int, grouped: bool, expected: str
) -> None:
    assert chosen(rules(*lengths, fewest=fewest, grouped=grouped))["split_by"] == expected


def test_different_rates_become_their_median() -> None:
    facts = [SeriesFacts(length, 1, False, rate) for length, rate in ((100, 50.0), (200, 100.0), (100, 50.1))]
    found = series_rules(facts, every=True, grouped=False, fewest=50, dividable=True)
    assert (chosen(found)["rate"], found.window) == (50.1, 100)
    assert chosen(rules(100, 100, rate=50.0))["rate"] is None
    assert chosen(rules(100, 100, incomplete=True))["missing"] == "interpolate"
