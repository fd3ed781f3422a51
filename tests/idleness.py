"""A limit on idle time: no test waits longer than a minute for something that does not happen.

A limit on the duration of a test would also stop tests that compute on a busy machine. Therefore only time in which
neither the test nor any of its child processes computes or waits for a processor is counted.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil
import pytest

SECONDS = 60.0
CHECKS = 12  # of the processes, within that time
MIN_SHARE = 0.1  # of a core, below which processes count as idle: servers without requests use a few percent


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Fail the test that runs in the block once it has been idle for this long."""
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(seconds, over), daemon=True)
    before = signal.signal(signal.SIGUSR1, lambda _, frame: _fail(seconds, frame))
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        signal.signal(signal.SIGUSR1, before)


def _watch(seconds: float, over: threading.Event) -> None:
    """Signal the main thread repeatedly, since a destructor or a library may swallow the exception that it raises."""
    checked = busy = time.monotonic()
    used = (0.0, 0.0)
    while not over.wait(seconds / CHECKS):
        before, used = used, (_processor_seconds(), _queued_seconds())
        elapsed, checked = time.monotonic() - checked, time.monotonic()
        if any(now - then >= MIN_SHARE * elapsed for now, then in zip(used, before, strict=True)):
            busy = checked
        elif checked - busy >= seconds:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def _processor_seconds() -> float:
    """The processor time of this process and all its descendants, except for that of the watching thread.

    The time of an ended process counts for the process that waited for it.
    """
    this = psutil.Process()
    total = -time.thread_time()
    for process in (this, *this.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def _queued_seconds() -> float:
    """How long the threads of all descendants of this process were ready to run, but had no processor.

    On a shared machine, a process may get almost no processor time. Where the kernel does not report this, it is 0.
    """
    waited = 0
    for process in psutil.Process().children(recursive=True):
        for path in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with suppress(OSError, ValueError, IndexError):  # the thread is over
                waited += int(path.read_text().split()[1])
    return waited / 1e9


def _fail(seconds: float, frame: FrameType | None) -> None:
    place = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    pytest.fail(f"waited for {seconds:g} seconds{place}, and nothing computed")
