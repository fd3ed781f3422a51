"""Progress of long work, in the terminal: bars or lines, with the remaining time."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from pipeline.terminal.console import note, say, seconds_since_last_line

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 3.0  # if stderr is not a terminal
_SECONDS_BETWEEN_COUNTS = 0.05


def duration(seconds: float) -> str:
    """Format a duration with about two significant digits, such as `2.5 minutes`."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.0f} {unit}" if number >= 10 else f"{round(number, 1):g} {unit}"
    return f"{max(2, round(seconds))} seconds"


def pace(done: int, total: int, seconds: float) -> str:
    """Format the speed and the remaining time, such as `3.2/s, about 8 seconds left`; empty if nothing is done yet.

    Args:
        done: Number of completed items.
        total: Total number of items.
        seconds: Seconds spent on the completed items.
    """
    if not done or seconds <= 0:
        return ""
    rate = done / seconds
    speed = f"{rate:,.{0 if rate >= 10 else 1}f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
    return f"{speed}, about {duration((total - done) / rate)} left" if done < total else speed


def progress(
    items: Iterable[Item], description: str, total: int, naming: Callable[[Item], str] | None = None
) -> Generator[Item, None, None]:
    """Iterate over items and show the count, the speed and the remaining time.

    On a terminal this is a progress bar, otherwise a plain line every few seconds. Both are written to stderr, since
    stdout is reserved for results. Progress can be nested.

    Args:
        items: The items, in order.
        description: Description of the work, such as `evaluate: robustness`.
        total: Number of items.
        naming: Returns the name of an item, which is shown while the caller works on the item. None: an item is
            counted as completed when the caller requests the next one.
    """
    started, shown = time.monotonic(), float("-inf")
    with meter(description, total) as show:
        for number, item in enumerate(items):
            if naming is not None:
                show(
                    number + 1, "; ".join(filter(None, (naming(item), pace(number, total, time.monotonic() - started))))
                )
            yield item
            now = time.monotonic()
            if naming is None and (now - shown >= _SECONDS_BETWEEN_COUNTS or number + 1 == total):
                shown = now
                show(number + 1, pace(number + 1, total, now - started))


def meter(description: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
    """Show progress without a loop. The yielded function takes the number of completed items and a text."""
    return (_bar if sys.stderr.isatty() else _lines)(description, total)


@contextmanager
def _lines(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show progress as plain lines."""

    def show(number: int, more: str) -> None:
        if seconds_since_last_line() >= SECONDS_BETWEEN_LINES:
            note(f"{description} {number} of {total} ({more})")

    yield show


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show progress as a bar that disappears at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # slow to import

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[more]}", markup=False),
    )
    with Progress(
        *columns, console=_console(), transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True
    ) as bars:
        bar = bars.add_task(description, total=total, more="")

        def show(number: int, more: str) -> None:
            bars.update(bar, completed=number, more=more)

        yield show


@contextmanager
def lines_with_bar(description: str, total: int, done: int = 0) -> Iterator[Callable[[str, int], None]]:
    """Print lines, with a progress bar below them if stderr is a terminal.

    The yielded function takes a line and the number of completed items.

    Args:
        description: Description of the work.
        total: Number of items.
        done: Number of items that are already completed.
    """
    if not sys.stderr.isatty():
        yield lambda line, completed: say(line)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # slow to import

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task(description, total=total, completed=done)

        def show(line: str, completed: int) -> None:
            bar.console.print(line, highlight=False)
            bar.update(task, completed=completed)

        yield show


@contextmanager
def screen() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a text in place of the one before; without a terminal, it prints changed texts."""
    if not sys.stdout.isatty():
        shown: list[str] = []

        def print_changes(text: str) -> None:
            if shown != [text]:
                say(text)
            shown[:] = [text]

        yield print_changes
        return
    from rich import live, text

    with live.Live(auto_refresh=False) as terminal:
        yield lambda words: terminal.update(text.Text(words), refresh=True)


@cache
def _console() -> "Console":
    """Return the shared console, which nested progress bars require."""
    from rich.console import Console

    return Console(stderr=True)
