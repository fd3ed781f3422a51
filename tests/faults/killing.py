"""Kill stages at random moments. They are forks of one process that has imported TensorFlow, so they start at once."""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

STAGES = {
    "search": "search.commands:search",
    "train": "pipeline.train:main",
    "evaluate": "pipeline.evaluate:main",
    "register": "pipeline.register:main",
}


class Forker:
    """A process that has imported what the stages need, and forks one of them for each request."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, stage: str, folder: Path, log: Path, *options: str) -> int:
        """Start a stage in a process group of its own; return its process id.

        Args:
            stage: Key of STAGES.
            folder: Folder of the project.
            log: File to which the output is appended.
            options: Command-line options.
        """
        self._send({"stage": stage, "folder": str(folder), "log": str(log), "options": options})
        return int(self._receive())

    def wait(self) -> int:
        """Wait for the last stage; return its exit status, negative if a signal ended it, and 0 if there was none."""
        self._send({})
        return int(self._receive())

    def _send(self, content: dict[str, Any]) -> None:
        assert self._process.stdin
        print(json.dumps(content), file=self._process.stdin, flush=True)

    def _receive(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline()


@contextmanager
def forker() -> Iterator[Forker]:
    """Start the process, and end it after the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}
    environment |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.killing"], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        made = Forker(process)
        made.wait()  # until everything is imported
        yield made
        assert process.stdin
        process.stdin.close()


def run(fork: Forker, stage: str, folder: Path, log: Path, *options: str) -> float:
    """Run a stage to its end, which must be good; return the seconds it took."""
    began = time.monotonic()
    fork.start(stage, folder, log, *options)
    assert fork.wait() == 0, log.read_text()
    return time.monotonic() - began


def kill_at_random(
    fork: Forker, stage: str, folder: Path, log: Path, *options: str, moments: int, seconds: float, seed: int
) -> int:
    """Start a stage and kill it, again and again, and let it end after the last time.

    Args:
        fork: Starts the stage.
        stage: Key of STAGES.
        folder: Folder of the project.
        log: File to which the output is appended.
        options: Command-line options.
        moments: Number of kills.
        seconds: Latest moment of a kill after the start. A stage that has ended before starts again.
        seed: Seed of the moments.

    Returns:
        Number of processes that were killed while they ran.
    """
    draw, killed = random.Random(seed), 0
    for _ in range(moments):
        pid = fork.start(stage, folder, log, *options)
        time.sleep(draw.uniform(0, seconds))
        os.killpg(pid, signal.SIGKILL)  # the process remains a zombie until `wait`
        status = fork.wait()
        assert status in (0, -signal.SIGKILL), log.read_text()
        killed += status == -signal.SIGKILL
    run(fork, stage, folder, log, *options)
    return killed


def _serve() -> None:
    """Fork a stage for each request, and wait for it on the next one."""
    import search.engine.preload  # noqa: F401  # ignores Ctrl-C, and imports Keras with TensorFlow

    for module in {target.partition(":")[0] for target in STAGES.values()}:
        importlib.import_module(module)
    import mlflow  # noqa: F401

    pid = 0
    for line in sys.stdin:
        request = json.loads(line)
        if not request:
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0, flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _run(**request)
        os.setpgid(pid, pid)
        print(pid, flush=True)


def _run(stage: str, folder: str, log: str, options: list[str]) -> None:
    from pipeline.terminal.console import run_main

    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [stage, *options]
    module, _, function = STAGES[stage].partition(":")
    try:
        run_main(lambda: getattr(importlib.import_module(module), function)(prog=stage))
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(int(end.code or 0))


if __name__ == "__main__":
    _serve()
