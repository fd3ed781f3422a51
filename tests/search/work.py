"""Functions that the workers of a test run instead of training.

Workers import this module, so it imports neither TensorFlow nor Optuna, whose imports take seconds.
"""

import json
import os
import signal
import time
from pathlib import Path
from zlib import crc32

import numpy as np

from pipeline.data.split import make_split
from pipeline.data.training_data import TrainingData
from search.study.job import Job, RungResult


def learn(job: Job, data: TrainingData) -> RungResult:
    """Return a learning curve determined by the architecture and the seed; resume from any state or none."""
    ceiling = crc32(f"{job.architecture.digest}{job.seed}".encode()) % 1000 / 1000
    history = []
    for epoch in range(1, job.until + 1):
        accuracy = ceiling * (1 - 0.5**epoch)
        figures = {
            "val_accuracy": accuracy,
            "val_macro_f1": accuracy / 2,
            "val_balanced_accuracy": accuracy / 3,
            "val_loss": 2.0 - accuracy,
        }
        history.append({"epoch": epoch, "loss": 1.0, **figures})
    state = json.dumps([job.seed, job.until]).encode()
    return RungResult(tuple(history), state, compute_dtype="bfloat16", seconds=1.0)


def wait_for_workers(folder: Path, workers: int) -> None:
    """Wait until `workers` of them are running at the same time; each creates a file in the folder."""
    until = time.monotonic() + 120
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < workers:
        assert time.monotonic() < until, "too few workers are running"
        time.sleep(0.02)


def slow_learn(job: Job, data: TrainingData, folder: Path, workers: int) -> RungResult:
    """Finish later trials sooner, so that outcomes arrive in another order than they were requested."""
    wait_for_workers(folder, workers)
    environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    (folder / str(os.getpid())).write_text(json.dumps(environment))
    time.sleep(0.02 + job.seed % 7 / 50)
    return learn(job, data)


def die_once(job: Job, data: TrainingData, flag: Path) -> RungResult:
    """Kill this worker with SIGKILL during the first job that starts a second rung."""
    if job.until == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(job, data)


def die(job: Job, data: TrainingData) -> RungResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return learn(job, data)


def exhaust_memory(job: Job, data: TrainingData) -> RungResult:
    allocated = []
    while True:
        allocated.append(bytearray(os.urandom(1)) * 2**26)
        time.sleep(0.01)


KEPT: list[bytes] = []


def leak_memory(job: Job, data: TrainingData, folder: Path) -> RungResult:
    """Allocate memory that is never released."""
    KEPT.append(os.urandom(1) * 2**28)
    (folder / str(os.getpid())).touch()
    return learn(job, data)


def hang(job: Job, data: TrainingData) -> RungResult:
    while True:
        time.sleep(60)


def broken(job: Job, data: TrainingData) -> RungResult:
    raise ZeroDivisionError("a bug")


class Unpicklable(Exception):
    """An exception that can be pickled, but not unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} of {second}")


def broken_oddly(job: Job, data: TrainingData) -> RungResult:
    raise Unpicklable(1, 2)


def broken_at_the_end_of_a_file(job: Job, data: TrainingData) -> RungResult:
    raise EOFError("a bug")


def slow_baseline(job: Job, data: TrainingData, rate: float, folder: Path, others: int) -> RungResult:
    """Finish the first trial, known by its learning rate, after `others` other trials, which create a file each."""
    if job.training.learning_rate != rate:
        (folder / str(job.seed)).touch()
    elif others:
        until = time.monotonic() + 120
        while len(list(folder.iterdir())) < others:
            assert time.monotonic() < until, "a free worker got no work"
            time.sleep(0.02)
    else:
        time.sleep(1.5)
    return learn(job, data)


def inspect_worker(job: Job, data: TrainingData, folder: Path) -> RungResult:
    """Return the GPU and the data that a worker has while another one is running."""
    wait_for_workers(folder, 2)
    split = data.train
    arrived = make_split("train", split.images, split.labels).digest
    return RungResult(detail=json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], arrived, split.images.flags.writeable]))


def finish(job: Job, data: TrainingData) -> RungResult:
    return RungResult(detail="done")


def learn_and_record_node(job: Job, data: TrainingData, folder: Path) -> RungResult:
    """Return a learning curve, and record the node on which it was computed."""
    import ray

    time.sleep(0.2)
    (folder / ray.get_runtime_context().get_node_id()).touch()
    return learn(job, data)


class Holder:
    def hold(self) -> None:
        """Do nothing: the actor only occupies resources."""


def describe_images(job: Job, data: TrainingData, folder: Path) -> RungResult:
    """Return what the training images of a worker are while another one is running, and their digest."""
    wait_for_workers(folder, 2)
    images = data.train.images
    mapped = str(images.filename) if isinstance(images, np.memmap) else ""
    arrived = make_split("train", images, data.train.labels).digest
    return RungResult(detail=json.dumps([mapped, bool(images.flags.owndata), arrived]))
