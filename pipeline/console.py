"""What a command writes to the terminal: lines, progress, errors."""

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

SECONDS_BETWEEN_LINES = 3.0  # of progress, where no terminal is
_PACKAGES = ("pipeline", "search")  # whose messages are shown
_last_line = time.monotonic()  # when the last one was written; quick commands write none


def run_main(main: Callable[[], int | None]) -> None:
    """Run a command's main function and exit. A UserError is reported without a stack trace.

    The exit status is main's own result, 1 after an error, and 130 after Ctrl-C.
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
    gc.freeze()  # at its end Python would look through all that TensorFlow and others have left, for seconds
    sys.exit(status)


def _require_utf8(project: Path) -> None:
    """Refuse a folder of the project whose path DVC and TensorFlow cannot write down; they end in a traceback.

    Raises:
        UserError: the path is not UTF-8.
    """
    path = os.fsencode(project)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(
            "the project's path must be UTF-8, since DVC and TensorFlow take no other, got "
            f"{path.decode('utf-8', 'backslashreplace')}; rename the folder, or move the project"
        ) from None


def _ignore_user_settings() -> None:
    """Keep out what a shell or a notebook left for other programs; call it before matplotlib is imported.

    A backend of a notebook cannot be loaded here, and a matplotlibrc would change the bytes of pictures. Characters
    that the terminal's encoding lacks, such as ×, or the bytes of a name that is not UTF-8, are written as escapes.
    Plugins of pydantic are not looked for, since that reads the metadata of every installed package.
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
    """Writes what the project's modules log, each message as a line."""

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        super().__init__()
        self._stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        _write(record.getMessage(), self._stream())


def show_messages(beside_results: bool = False) -> None:
    """Show what modules of this project log at level INFO or above; without this call they are silent.

    Args:
        beside_results: on stderr, since stdout holds nothing but the results.
    """
    handler = _Messages(lambda: sys.stderr if beside_results else sys.stdout)
    for package in _PACKAGES:
        logger = logging.getLogger(package)
        logger.setLevel(logging.INFO)
        logger.handlers = [handler]


def say(line: str) -> None:
    """One line for the user, at once."""
    _write(line, sys.stdout)


def note(line: str) -> None:
    """One line beside the results, such as what is waited for: on stderr, at once."""
    _write(line, sys.stderr)


def _write(line: str, stream: TextIO) -> None:
    global _last_line
    _last_line = time.monotonic()
    print(line, file=stream, flush=True)


@contextmanager
def held_back_stderr(hold: bool = True) -> Iterator[None]:
    """Hold back what is written to stderr in the block, by native code too; it is shown when the block fails."""
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
    """Let a Ctrl-C wait until the block is left, so that it cuts no transaction in two; a second one does not wait."""
    heeded = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(heeded):
        yield
        return
    pressed = []

    def wait(number: int, frame: FrameType | None) -> None:
        pressed.append((number, frame))
        signal.signal(signal.SIGINT, heeded)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heeded)
        for number, frame in pressed:
            heeded(number, frame)


def duration(seconds: float) -> str:
    """A length of time in two digits or so."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:.0f} {unit}" if number >= 10 else f"{round(number, 1):g} {unit}"
    return f"{max(2, round(seconds))} seconds"


def pace(done: int, total: int, seconds: float) -> str:
    """How fast work goes and when it ends, such as `3.2/s, about 8 seconds left`; empty while nothing is done.

    Args:
        done: items so far.
        total: items in all.
        seconds: that the ones so far took.
    """
    if not done or seconds <= 0:
        return ""
    rate = done / seconds
    speed = f"{rate:,.{0 if rate >= 10 else 1}f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
    return f"{speed}, about {duration((total - done) / rate)} left" if done < total else speed


def progress(
    items: Iterable[Item], description: str, total: int, naming: Callable[[Item], str] | None = None
) -> Generator[Item, None, None]:
    """The items, with their count, pace and time left: a bar on a terminal, a plain line every few seconds elsewhere.

    All of it goes to stderr, so that results on stdout stay as they are. One progress may be within another.

    Args:
        items: in order.
        description: what is done with them, such as `evaluate: robustness`.
        total: how many items there are.
        naming: gives the name of an item that is yielded before the work on it; without it an item is work done.
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
    """As `progress`, where the work is no loop over items: takes how many are done, and more in words."""
    return (_bar if sys.stderr.isatty() else _lines)(description, total)


@contextmanager
def _lines(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Progress in plain lines."""

    def show(number: int, more: str) -> None:
        if time.monotonic() - _last_line >= SECONDS_BETWEEN_LINES:
            note(f"{description} {number} of {total} ({more})")

    yield show


@contextmanager
def _bar(description: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Progress as a bar that goes away at the end."""
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


@cache
def _console() -> "Console":
    """The one on which bars can stand below each other."""
    from rich.console import Console

    return Console(stderr=True)
