"""Call MLflow in a thread of its own, so that a stage does not depend on the speed of a server."""

import threading
import time
from collections import deque
from collections.abc import Callable

MAX_WAIT = 30.0  # seconds that a process waits for a server in all, since the server last finished a run
_waited: dict[str, float] = {}  # these seconds so far, by the address of the server


class BackgroundCalls:
    """Makes calls one after another in a thread. The thread does not keep the process alive."""

    def __init__(self, address: str, on_error: Callable[[BaseException], object]) -> None:
        """Start the thread.

        Args:
            address: Address of the server, for which `wait` limits the time.
            on_error: Called in the thread with what a call raises.
        """
        self._address = address
        self._on_error = on_error
        self._calls: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._running = False
        self._closed = False
        threading.Thread(target=self._work, name="tracking", daemon=True).start()

    @property
    def idle(self) -> bool:
        """Whether all calls have returned."""
        with self._changed:
            return not self._calls and not self._running

    def submit(self, call: Callable[[], object]) -> None:
        """Add a call, and return immediately."""
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait until all calls have returned, or until the process has waited MAX_WAIT seconds for the server in all.

        Returns:
            Whether all calls have returned.
        """
        began = time.monotonic()
        with self._changed:
            done = self._changed.wait_for(
                lambda: not self._calls and not self._running, MAX_WAIT - _waited.get(self._address, 0.0)
            )
        _waited[self._address] = _waited.get(self._address, 0.0) + time.monotonic() - began
        return done

    def close(self) -> None:
        """End the thread after the current call. Other calls are discarded."""
        with self._changed:
            self._calls.clear()
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._running = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._calls or self._closed)
                if self._closed:
                    return
                call, self._running = self._calls.popleft(), True
            try:
                call()
            except BaseException as error:  # whatever it is, it must not end the stage
                self._on_error(error)


def may_wait(address: str) -> bool:
    """Return whether the process may wait for a server at all."""
    return _waited.get(address, 0.0) < MAX_WAIT


def reset_wait(address: str) -> None:
    """Start counting again: the server has finished a run."""
    _waited.pop(address, None)
