"""How the output shown on a page is compared with what a command prints."""

from pathlib import Path

import pytest

from tests.docs.console import Session, Step, pattern, steps


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("best 0.98 of 1,024", "best 0.5 of 7"),
        ("a\n…\nz", "a\nb\nc\nz"),
        ("a\n…\nz", "a\nz"),
        ("two   columns", "two columns"),
        ("trial 3 …, 5 left", "trial 12 pruned, and more, 17 left"),
        ("change -0.025", "change 0.1"),
    ],
)
def test_output_that_matches_the_page(shown: str, printed: str) -> None:
    assert pattern(shown).fullmatch(printed + "\n")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("best 0.98", "worst 0.98"),
        ("best 0.98", "best nan"),
        ("a\nz", "a\nb\nz"),
        ("a\n…\nz", "a\nz\nmore"),
        ("accuracy (95%)", "accuracy [95%]"),
    ],
)
def test_output_that_does_not_match_the_page(shown: str, printed: str) -> None:
    assert not pattern(shown).fullmatch(printed + "\n")


def test_a_page_is_parsed_into_commands_with_their_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```console\n$ one  # why\nsaid\n$ two \\\n  more\n```\n\n```yaml\n$ no: 1\n```\n")
    assert steps(page) == [Step("page.md", "one", "said"), Step("page.md", "two   more", "")]


def test_folder_and_variables_persist_between_commands(tmp_path: Path) -> None:
    session = Session(tmp_path, {"PATH": "/usr/bin:/bin"}, servers=())
    session.run(Step("page.md", "mkdir inner && cd inner && export GREETING=hello", ""))
    session.run(Step("page.md", 'echo "$GREETING $(basename "$PWD")"', "hello inner"))


def test_a_command_that_fails_or_prints_something_else_fails_the_page(tmp_path: Path) -> None:
    session = Session(tmp_path, {"PATH": "/usr/bin:/bin"}, servers=())
    with pytest.raises(AssertionError, match="exited with status 1"):
        session.run(Step("page.md", "false", ""))
    session.run(Step("page.md", "echo error: no; false", "error: no"))
    with pytest.raises(AssertionError, match="exited with status 0"):
        session.run(Step("page.md", "echo error: no", "error: no"))
    with pytest.raises(AssertionError, match="must print"):
        session.run(Step("page.md", "echo yes", "no"))


def test_a_server_runs_until_the_session_is_closed(tmp_path: Path) -> None:
    session = Session(tmp_path, {"PATH": "/usr/bin:/bin"}, servers=("sleep", "sh"))
    session.run(Step("page.md", "sh -c 'echo ready, Ctrl-C stops it; sleep 600'", "ready, Ctrl-C stops it"))
    (process,) = session._running
    session.close()
    assert process.poll() is not None
