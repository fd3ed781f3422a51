"""The line of champions."""

from pipeline.registry.champion_history import ChampionTenure, line_of


def tenures(*written: str) -> list[ChampionTenure]:
    """`3` is a version that won, `<3` one that came back."""
    return [
        ChampionTenure(int(each.strip("<")), "2026-01-01T00:00:00+00:00", "", each.startswith("<")) for each in written
    ]


def test_champions_follow_each_other() -> None:
    assert line_of(tenures()) == []
    assert line_of(tenures("1", "2", "3")) == [1, 2, 3]


def test_a_rollback_takes_off_those_after_it() -> None:
    assert line_of(tenures("1", "2", "3", "<2")) == [1, 2]
    assert line_of(tenures("1", "2", "3", "<2", "<1")) == [1]
    assert line_of(tenures("1", "2", "<1", "3")) == [1, 3]


def test_a_version_that_wins_again_stands_last_once() -> None:
    assert line_of(tenures("1", "2", "1")) == [2, 1]
    assert line_of(tenures("1", "1")) == [1]
