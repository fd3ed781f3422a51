"""What a process of the process engine does: it runs jobs until its engine closes the connection."""

import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

import psutil

from pipeline.data.training_data import TrainingData
from pipeline.errors import UserError
from search.engine.mapped_data import MappedData
from search.study.job import Job, RungFunction, train_rung


def serve(connection: Connection, source: TrainingData | MappedData, work: RungFunction, gpu: str | None) -> None:
    """Run jobs until the connection is closed, or the process of the engine has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the engine stops this one
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        data = source.read() if isinstance(source, MappedData) else source
        if work is train_rung:
            from pipeline.backend.runtime import start_backend

            start_backend()
        message: Any = None
        while _sent(connection, message) and (job := _received(connection)) is not None:
            result = work(job, data)
            message = result, int(psutil.Process().memory_info().rss)
    except Exception as error:
        _sent(connection, _picklable(error))


def _sent(connection: Connection, message: Any) -> bool:
    """Send a message, and return whether the engine is still there."""
    try:
        connection.send(message)
    except OSError:
        return False
    return True


def _received(connection: Connection) -> Job | None:
    """Wait for a job. None if the engine has closed the connection."""
    with suppress(EOFError, OSError):
        job: Job = connection.recv()
        return job
    return None


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _picklable(error: Exception) -> Exception:
    """Return the error, with its traceback as a note if it is a bug; a RuntimeError if it cannot be pickled."""
    lines = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # of this process
    except Exception:
        return RuntimeError(lines)
    if not isinstance(error, UserError):
        error.add_note(lines)
    return error
