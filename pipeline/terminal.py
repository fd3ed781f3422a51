"""What a command says on the terminal: its lines, its progress, its errors."""

import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")


class UserError(Exception):
    """Something that the user can mend; the message states rule, value received, place and remedy."""


def run_main(main: Callable[[], int | None]) -> None:
    """Run a command's main function and exit; what the user can mend is told without a stack trace.

    The exit status is main's own result, 1 after an error, and 130 after Ctrl-C.
    """
    try:
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


def say(line: str) -> None:
    """One line for the user, at once."""
    print(line, flush=True)


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


def progress(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """The items, with a progress bar on a terminal and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # only a terminal needs it
    from rich.progress import track

    yield from track(items, description, total=total, console=Console(stderr=True), transient=True)
