"""The history of champions."""

from pipeline.registry.champion_history import ChampionTenure, line_of


def tenures(*written: str) -> list[ChampionTenure]:
    """`3` is a version that was promoted, `<3` one restored by a rollback."""
    return [
        ChampionTenure(int(each.strip("<")), "2026-01-01T00:00:00+00:00", "", each.startswith("<")) for each in written
    ]


def test_champions_are_listed_in_order() -> None:
    assert line_of(tenures()) == []
    assert line_of(tenures("1", "2", "3")) == [1, 2, 3]


def test_a_rollback_removes_later_champions() -> None:
    assert line_of(tenures("1", "2", "3", "<2")) == [1, 2]
    assert line_of(tenures("1", "2", "3", "<2", "<1")) == [1]
    assert line_of(tenures("1", "2", "<1", "3")) == [1, 3]


def test_a_version_that_is_promoted_again_is_listed_once_and_last() -> None:
    assert line_of(tenures("1", "2", "1")) == [2, 1]
    assert line_of(tenures("1", "1")) == [1]
