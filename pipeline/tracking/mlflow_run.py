"""The run in MLflow that belongs to an active run, as long as MLflow is available."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, message_of
from pipeline.mlflow_server.connection import TrackingUnavailable, connect, failures, tracking_uri
from pipeline.params.addresses import hide_password
from pipeline.terminal.causes import cause_outside
from pipeline.terminal.console import describe_bug, uninterrupted
from pipeline.tracking import background
from pipeline.tracking.background import BackgroundCalls, may_wait, reset_wait
from pipeline.tracking.publisher import MlflowPublisher, PublishedRun
from pipeline.tracking.system_metrics import abandon_monitor, start_monitor, stop_monitor

_LOGGER = logging.getLogger(__name__)

Action = Callable[[MlflowPublisher, PublishedRun], object]


class MlflowRun:
    """Calls MLflow in a thread of its own, and stops at the first failure, whatever it is.

    Only `open`, `wait` and `close` wait for MLflow, for at most MAX_WAIT seconds in all. A failure is logged once; what
    is missing is left to the next stage or to `fovea sync`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._address = tracking_uri(root)
        self._calls: BackgroundCalls | None = None
        self._publisher: MlflowPublisher | None = None
        self._run: PublishedRun | None = None
        self._monitor: Any = None  # mlflow has no types for it

    @property
    def published(self) -> bool:
        """Whether the run is in MLflow, and MLflow has not failed since."""
        return self._run is not None

    def open(self, find_or_make: Callable[[MlflowPublisher], PublishedRun]) -> None:
        """Connect to MLflow, and find or create the run.

        Args:
            find_or_make: Returns the run.
        """
        if not may_wait(self._address):  # the process has said so before
            return

        def connect_and_open() -> None:
            publisher = MlflowPublisher(connect(self._root), self._root)
            run = find_or_make(publisher)
            if self._calls is not None:  # it has not taken too long
                self._publisher, self._run = publisher, run

        self._calls = BackgroundCalls(self._address, self._on_error)
        self._calls.submit(connect_and_open)
        self.wait()

    def watch(self) -> None:
        """Start sampling the system metrics."""
        self.submit(self._watch)

    def submit(self, action: Action) -> None:
        """Call an action with the run, without waiting for it."""
        if self._run is not None and (calls := self._calls) is not None:
            calls.submit(lambda: self._call(action))

    def submit_if_idle(self, action: Action) -> bool:
        """Call an action like `submit`, unless earlier actions are in progress; return whether it will be called."""
        if self._run is None or (calls := self._calls) is None or not calls.idle:
            return False
        self.submit(action)
        return True

    def wait(self) -> None:
        """Wait until MLflow has done all actions, or until the time is over."""
        if (calls := self._calls) is None:
            return
        with uninterrupted():
            done = calls.wait()
        if not done:
            self._give_up(f"{self._server()} did not finish within {background.MAX_WAIT:.0f} s")

    def close(self, action: Action) -> None:
        """Call the last action, and wait for all actions."""
        self.submit(lambda publisher, run: self._stop_monitor())
        self.submit(action)
        self.wait()
        if self._calls is not None:
            reset_wait(self._address)
            self._calls.close()

    def amend(self, action: Action) -> None:
        """Call an action after `close`, and wait for it."""
        if self._run is not None:
            self._calls = BackgroundCalls(self._address, self._on_error)
            self.close(action)

    def _call(self, action: Action) -> None:
        if self._publisher is not None and self._run is not None:  # else it failed before
            action(self._publisher, self._run)

    def _on_error(self, error: BaseException) -> None:
        if isinstance(error, TrackingUnavailable | UserError):
            self._give_up(message_of(error))
        elif isinstance(error, failures()):
            self._give_up(f"{self._server()} failed: {message_of(error)}")
        else:
            self._give_up(cause_outside(error) or f"unexpected error\n{describe_bug(error)}")

    def _watch(self, publisher: MlflowPublisher, run: PublishedRun) -> None:
        self._monitor = start_monitor(run.run_id, publisher.server.uri)

    def _stop_monitor(self) -> None:
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            stop_monitor(monitor)

    def _server(self) -> str:
        return f"MLflow at {hide_password(self._address)}"

    def _give_up(self, reason: str) -> None:
        if (calls := self._calls) is None:  # it has given up before
            return
        calls.close()
        self._publisher = self._run = self._calls = None
        if self._monitor is not None:
            abandon_monitor(self._monitor)
        _LOGGER.warning(f"tracking: {reason}; continuing without MLflow; publish later with `fovea sync`")
