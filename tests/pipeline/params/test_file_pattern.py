"""The regular expression of data.file_pattern."""

import pytest

from pipeline.params.file_pattern import check_pattern


@pytest.mark.parametrize("parts", [("label",), ("label", "group"), ("split", "label"), ("label", "group", "split")])
def test_a_pattern_has_a_label_and_may_have_group_and_split(parts: tuple[str, ...]) -> None:
    pattern = "_".join(f"(?P<{part}>[a-z]+)" for part in parts)
    assert check_pattern(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<label>[a-z]+", r"must be a regular expression, got '\(\?P<label>\[a-z\]\+': missing \)"),
        ("([a-z]+)", r"must have the named group \(\?P<label>…\), .* got none"),
        ("(?P<group>[a-z]+)_(?P<split>[a-z]+)", "got group, split"),
        ("(?P<label>[a-z]+)_(?P<year>[0-9]+)", "got label, year"),
    ],
)
def test_any_other_pattern_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_pattern(pattern)
