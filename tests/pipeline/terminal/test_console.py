"""Ctrl-C during a transaction."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pipeline.terminal.console import uninterrupted


@pytest.fixture(autouse=True)
def enable_ctrl_c() -> Iterator[None]:
    """Handle Ctrl-C as in a shell's foreground; a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_deferred_until_the_block_ends() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            press_ctrl_c()
            done.append("inside")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inside"]


def test_nested_blocks_defer_ctrl_c_until_the_outer_one_ends() -> None:
    done = []

    @uninterrupted()
    def work() -> None:
        with uninterrupted():
            press_ctrl_c()
        done.append("between")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["between"]


def test_a_second_ctrl_c_interrupts_immediately() -> None:
    done = []

    @uninterrupted()
    def work() -> None:
        press_ctrl_c()
        done.append("after the first")
        press_ctrl_c()
        done.append("after the second")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["after the first"]


def test_ctrl_c_works_normally_after_the_block() -> None:
    with uninterrupted():
        pass
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_in_another_thread_the_block_runs_unchanged() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append("inside")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["inside"]
