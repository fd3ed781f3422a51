"""Start of commands and their output: lines and errors."""

import gc
import io
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TextIO

from pipeline.errors import UserError
from pipeline.redaction import redact
from pipeline.terminal.causes import cause_outside

_PACKAGES = ("pipeline", "search")  # packages whose log messages are shown
_last_line = time.monotonic()  # time of the last line; starts at import, so that quick commands print no progress


def run_main(main: Callable[[], int | None]) -> None:
    """Run the main function of a command and exit. A UserError is printed without a traceback.

    The exit status is the return value of `main`, 1 after an error, and 130 after Ctrl-C. Any other
    error is a bug, unless its cause lies outside the program: its traceback is printed, and what to report.
    """
    _ignore_user_settings()
    show_messages()
    try:
        _require_working_folder()
        _require_utf8(Path(__file__).parents[2])
        status = main() or 0
    except UserError as error:
        print(redact(f"error: {error}"), file=sys.stderr)
        status = 1
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    except Exception as error:
        status = 1
        outside = cause_outside(error)
        print(redact(f"error: {outside}" if outside else describe_bug(error)), file=sys.stderr)
    gc.freeze()  # at exit, Python would otherwise spend seconds collecting the objects of TensorFlow
    sys.exit(status)


def describe_bug(error: BaseException) -> str:
    """Return what to report about an unexpected error, and its traceback before it."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return (
        f"{''.join(traceback.format_exception(error))}error: this is a bug in Fovea; please report it to its "
        f"maintainers, with these lines, params.yaml, the output of `fovea --version`, and the command: {command}"
    )


def _require_working_folder() -> None:
    """Raise an error if the working folder was removed.

    Raises:
        UserError: It does not exist.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError("working folder: must exist, but it was removed; change to an existing folder") from None


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


def seconds_since_last_line() -> float:
    """Seconds since this process printed a line, or imported this module."""
    return time.monotonic() - _last_line


def _write(line: str, stream: TextIO) -> None:
    global _last_line
    _last_line = time.monotonic()
    print(redact(line), file=stream, flush=True)


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
