"""Close runs in MLflow that killed processes left with the status RUNNING."""

import os
import platform
import sys
from pathlib import Path

import psutil

from pipeline.tracking.local_log import read_local_log
from pipeline.tracking.publisher import MlflowPublisher


def this_process() -> str:
    """Return the name of the machine, the ID of this process, and its start."""
    return f"{platform.node()} {os.getpid()} {_start(os.getpid())}"


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
        by_clock = started.isdecimal()  # as older versions wrote it
        return (_start_by_clock(int(number)) if by_clock else _start(int(number))) != started
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, OverflowError):
        return True
    except (psutil.AccessDenied, PermissionError):
        return False


def _start(number: int) -> str:
    """Return when a process started; on Linux as the boot and clock ticks since then, which no change of time alters.

    Raises:
        psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError: There is no such process.
    """
    if sys.platform != "linux":
        return _start_by_clock(number)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    return f"{boot}:{state.rpartition(')')[2].split()[19]}"


def _start_by_clock(number: int) -> str:
    """Return when a process started, in seconds since 1970."""
    return f"{psutil.Process(number).create_time():.0f}"
