"""The page about reliability lists the tests in tests/faults."""

from tests.faults.catalogue import PAGE, page


def test_the_page_lists_all_cases() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.faults.catalogue`"
