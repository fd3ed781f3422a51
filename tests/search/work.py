"""What the workers of a test do in place of a training.

Workers import this module, and so it imports neither TensorFlow nor Optuna, which would take them seconds.
"""

import json
import os
import signal
import time
from pathlib import Path
from zlib import crc32

from pipeline.data.split import make_split
from search.study.job import Job, RungResult, StudyData


def learn(job: Job, data: StudyData) -> RungResult:
    """A learning curve that follows from the architecture and the seed; goes on from any state or none."""
    ceiling = crc32(f"{job.architecture.digest}{job.seed}".encode()) % 1000 / 1000
    history = []
    for epoch in range(1, job.until + 1):
        accuracy = ceiling * (1 - 0.5**epoch)
        figures = {"val_accuracy": accuracy, "val_macro_f1": accuracy / 2, "val_loss": 2.0 - accuracy}
        history.append({"epoch": epoch, "loss": 1.0, **figures})
    return RungResult(tuple(history), json.dumps([job.seed, job.until]).encode(), seconds=1.0)


def meet(folder: Path, workers: int) -> None:
    """Wait until `workers` of them are at work at the same time; each leaves a file in the folder."""
    until = time.monotonic() + 120
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < workers:
        assert time.monotonic() < until, "too few workers are at work"
        time.sleep(0.02)


def slow_learn(job: Job, data: StudyData, folder: Path, workers: int) -> RungResult:
    """Later trials are done sooner, so that outcomes come in another order than they were asked for."""
    meet(folder, workers)
    environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
    (folder / str(os.getpid())).write_text(json.dumps(environment))
    time.sleep(0.02 + job.seed % 7 / 50)
    return learn(job, data)


def die_once(job: Job, data: StudyData, flag: Path) -> RungResult:
    """End this worker by SIGKILL in the middle of the first job that begins a second rung."""
    if job.until == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(job, data)


def die(job: Job, data: StudyData) -> RungResult:
    os.kill(os.getpid(), signal.SIGKILL)
    return learn(job, data)


def hoard(job: Job, data: StudyData) -> RungResult:
    hoarded = []
    while True:
        hoarded.append(bytearray(os.urandom(1)) * 2**26)
        time.sleep(0.01)


KEPT: list[bytes] = []


def grow(job: Job, data: StudyData, folder: Path) -> RungResult:
    """Keep memory that is never given back."""
    KEPT.append(os.urandom(1) * 2**28)
    (folder / str(os.getpid())).touch()
    return learn(job, data)


def hang(job: Job, data: StudyData) -> RungResult:
    while True:
        time.sleep(60)


def broken(job: Job, data: StudyData) -> RungResult:
    raise ZeroDivisionError("a bug")


def slow_baseline(job: Job, data: StudyData, rate: float, folder: Path, others: int) -> RungResult:
    """The first trial, with the user's own learning rate, ends after `others` other trials, which leave a file each."""
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


def look(job: Job, data: StudyData, folder: Path) -> RungResult:
    """What a worker sees of its GPU and of the data, while another one is at work."""
    meet(folder, 2)
    split = data.train
    arrived = make_split("train", split.images, split.labels).digest
    return RungResult(detail=json.dumps([os.environ["CUDA_VISIBLE_DEVICES"], arrived, split.images.flags.writeable]))


def finish(job: Job, data: StudyData) -> RungResult:
    return RungResult(detail="done")


def where(job: Job, data: StudyData, folder: Path) -> RungResult:
    """A learning curve, and a note of the node it was made on."""
    import ray

    time.sleep(0.2)
    (folder / ray.get_runtime_context().get_node_id()).touch()
    return learn(job, data)


class Holder:
    def hold(self) -> None:
        """Being there is enough."""
