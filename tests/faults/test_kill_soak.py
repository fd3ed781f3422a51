"""A long study whose workers are killed again and again."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import psutil
import pytest

from pipeline.data.training_data import TrainingData
from pipeline.params import RayParams
from search.engine.ray_engine import RayEngine
from tests.search.harness import StudyHarness
from tests.search.work import learn

TRIALS, EVERY = 2000, 20
SETTINGS = {"trials": TRIALS, "epochs": 1, "sampler": "random", "max_retries": 1000, "cost_aware": False}
MIB = 2**20


def ray_workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if "_Worker" in process.name() or any("ray::_Worker" in part for part in process.cmdline()):
                found.append(process)
    return found


@pytest.mark.long
def test_two_thousand_trials_with_a_worker_killed_every_twenty_are_exact_and_leak_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A study of 2,000 trials on Ray, in which a worker is killed every 20 trials, ends with the exact total, and with
    the table and winner of an undisturbed study. The open files of the driver stay the same; its memory grows by less
    than 32 KiB per trial, since Optuna keeps all trials.

    Sends SIGKILL to a random Ray worker after every 20th trial. Compares the memory and the open files of the driver
    after 500 trials and at the end.
    """
    numbers, driver_process = random.Random(0), psutil.Process()
    harness = StudyHarness(tmp_path, **SETTINGS)
    settings = RayParams(address=None, cpus=0.5, gpus=0.0, memory_gb=None)
    harness.engine = engine = RayEngine(cast(TrainingData, None), settings, 2, threads=1, work=learn)
    memory: dict[int, int] = {}
    files: dict[int, int] = {}
    killed = 0
    try:
        driver = harness.driver()
        for count, _ in enumerate(driver.run(), start=1):
            if count % EVERY == 0 and (workers := ray_workers()):
                numbers.choice(workers).kill()
                killed += 1
            if count % 250 == 0 or count == TRIALS:
                memory[count], files[count] = driver_process.memory_info().rss // MIB, driver_process.num_fds()
        table = harness.table(driver)
    finally:
        engine.close()
    record_property(
        "measured",
        f"{killed} workers killed; {memory[500]} to {memory[TRIALS]} MiB, {files[500]} to {files[TRIALS]} open files",
    )
    assert killed >= 0.9 * TRIALS / EVERY
    (tmp_path / "undisturbed").mkdir()
    assert table == StudyHarness(tmp_path / "undisturbed", **SETTINGS).run()
    assert len(table.splitlines()) == TRIALS + 1
    assert files[TRIALS] <= files[500] + 5
    assert memory[TRIALS] <= memory[500] + 1500 / 32  # 32 KiB for each of 1,500 trials
