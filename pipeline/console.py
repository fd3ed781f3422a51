"""Terminal output of commands: lines, progress and errors."""

import gc
import io
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO, TypeVar

from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 3.0  # between progress lines if stderr is not a terminal
_PACKAGES = ("pipeline", "search")  # packages whose log messages are shown
_last_line = time.monotonic()  # time of the last line; starts at import, so that quick commands print no progress


def run_main(main: Callable[[], int | None]) -> None:
    """Run the main function of a command and exit. A UserError is printed without a traceback.

    The exit status is the return value of `main`, 1 after an error, and 130 after Ctrl-C.
    """
    _ignore_user_settings()
    show_messages()
    try:
        _require_utf8(Path(__file__).parents[1])
        status = main() or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    gc.freeze()  # at exit, Python would otherwise spend seconds collecting the objects of TensorFlow
    sys.exit(status)


def _require_utf8(project: Path) -> None:
    """Reject a project path that is not UTF-8, on which DVC and TensorFlow fail with a traceback.

    Raises:
        UserError: The path is not UTF-8.
    """
    path = os.fsencode(project)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(
            "project path: must be valid UTF-8, as DVC and TensorFlow require, got "
            f"{path.decode('utf-8', 'backslashreplace')}; rename the folder or move the project"
        ) from None


def _ignore_user_settings() -> None:
    """Ignore settings that were made for other programs. Must be called before matplotlib is imported.

    The matplotlib backend of a notebook cannot be loaded here, and a user's matplotlibrc would change the bytes of
    pictures. Characters that the terminal cannot encode, such as ×, and names that are not UTF-8 are printed with
    escape sequences. Pydantic plugins are disabled, since searching for them reads the metadata of every installed
    package.
    """
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    os.environ["MPLBACKEND"] = "agg"
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None:
        os.environ["MATPLOTLIBRC"] = str(Path(found.origin).parent / "mpl-data/matplotlibrc")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Messages(logging.Handler):
    """Logging handler that prints each message of the project's modules as a line."""

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        _write(record.getMessage(), self._stream())


def show_messages(to_stderr: bool = False) -> None:
    """Show log messages of this project at level INFO or above. They are hidden without this call.

    Args:
        to_stderr: Whether to print to stderr, since stdout is reserved for results.
    """
    handler = _Messages(lambda: sys.stderr if to_stderr else sys.stdout)
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]


def say(line: str) -> None:
    """Print a line to stdout and flush it."""
    _write(line, sys.stdout)


def note(line: str) -> None:
    """Print a line that is not a result, such as a progress message, to stderr and flush it."""
    _write(line, sys.stderr)


def _write(line: str, stream: TextIO) -> None:
    global _last_line
    _last_line = time.monotonic()
    print(line, file=stream, flush=True)


@contextmanager
def buffered_stderr(hold: bool = True) -> Iterator[None]:
    """Suppress stderr in the block, including output of native code, and print it only if the block fails."""
    if not hold:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        except Exception:
            written.seek(0)
            os.write(stderr, written.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, to not interrupt a transaction. A second Ctrl-C takes effect at once."""
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield
        return
    pressed = []

    def wait(number: int, frame: FrameType | None) -> None:
        pressed.append((number, frame))
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        for number, frame in pressed:
            previous(number, frame)


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
    started = time.monotonic()
    with meter(description, total) as show:
        for number, item in enumerate(items):
            if naming is not None:
                show(
                    number + 1, "; ".join(filter(None, (naming(item), pace(number, total, time.monotonic() - started))))
                )
            yield item
            if naming is None:
                show(number + 1, pace(number + 1, total, time.monotonic() - started))


def meter(description: str, total: int) -> AbstractContextManager[Callable[[int, str], None]]:
    """Show progress without a loop. The yielded function takes the number of completed items and a text."""
    return (_bar if sys.stderr.isatty() else _lines)(description, total)


@contextmanager
def _lines(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show progress as plain lines."""

    def show(number: int, more: str) -> None:
        if time.monotonic() - _last_line >= SECONDS_BETWEEN_LINES:
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
