"""What a command does on the terminal."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pipeline.terminal import uninterrupted


@pytest.fixture(autouse=True)
def heed_ctrl_c() -> Iterator[None]:
    """As in a shell's foreground; what a shell starts in the background is deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_waits_until_the_block_is_left() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            press_ctrl_c()
            done.append("inside")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inside"]


def test_nested_blocks_wait_for_the_outer_one() -> None:
    done = []

    @uninterrupted()
    def work() -> None:
        with uninterrupted():
            press_ctrl_c()
        done.append("between")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["between"]


def test_a_second_ctrl_c_does_not_wait() -> None:
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


def test_a_later_ctrl_c_is_heeded_as_before() -> None:
    with uninterrupted():
        pass
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


def test_another_thread_runs_the_block_as_it_is() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            done.append("inside")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["inside"]
