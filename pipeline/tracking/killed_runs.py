"""Close runs in MLflow that killed processes left with the status RUNNING."""

import platform
from pathlib import Path

import psutil

from pipeline.tracking.local_log import read_local_log
from pipeline.tracking.publisher import MlflowPublisher


def this_process() -> str:
    """Return the name of the machine, the ID of this process, and its start time in seconds since 1970."""
    return f"{platform.node()} {(process := psutil.Process()).pid} {process.create_time():.0f}"


def close_killed_runs(publisher: MlflowPublisher, root: Path, exclude: str) -> int:
    """Set the status KILLED for runs of processes of this machine that no longer exist, and return their number.

    Args:
        publisher: MLflow's experiment.
        root: Root folder of the repository, whose logs/ say which process started a run.
        exclude: Key of the run in progress; empty: none.
    """
    closed = 0
    for path in sorted((root / "logs").glob("*.json")):
        log = read_local_log(root, path.stem)
        if log.ended is not None or log.key == exclude or not _is_dead(log.process):
            continue
        log.ended = path.stat().st_mtime_ns // 1_000_000
        closed += publisher.close_running(log.key, log.ended)
        log.write(root)
    return closed


def _is_dead(process: str) -> bool:
    """Return whether a process of this machine has ended; False for processes of other machines."""
    machine, _, rest = process.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != platform.node() or not number.isdecimal():
        return False
    try:
        return f"{psutil.Process(int(number)).create_time():.0f}" != started
    except (psutil.NoSuchProcess, OverflowError):
        return True
    except psutil.AccessDenied:
        return False
