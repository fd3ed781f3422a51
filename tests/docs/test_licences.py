"""docs/licences.md lists the installed packages."""

from tests.docs.licences import HEADER, PAGE, locked, rows


def test_the_page_lists_the_licence_of_each_installed_package() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.startswith(HEADER)
    lines = set(page.removeprefix(HEADER).splitlines())
    assert [row for row in rows().values() if row not in lines] == []
    assert {line.split(" | ")[0].removeprefix("| ") for line in lines} <= set(locked())
