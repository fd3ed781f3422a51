"""A device, such as a GPU, that has too little memory for a training."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorflow.errors import ResourceExhaustedError

from pipeline.data.training_data import TrainingData
from pipeline.params import Head
from pipeline.terminal.console import run_main
from pipeline.trainers.steps_tensorflow import TensorFlowSteps
from search.study.job import Job, RungResult, train_rung
from tests.pipeline.train.workspace import make_workspace
from tests.pipeline.training.trainings import PLAIN, figures
from tests.search.harness import StudyHarness, learn
from tests.search.study.curves import rows

UNITS = 2**46  # more than params.yaml allows
LARGER_THAN_ANY_DEVICE = PLAIN.model_copy(update={"head": Head().model_copy(update={"dense": (UNITS,)})})
OF_A_GPU = """Graph execution error:

Detected at node while/body/_1/while/Conv2D defined at (most recent call last):
  File "train.py", line 12, in <module>

OOM when allocating tensor with shape[512,64,224,224] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by
\t [[{{node while/body/_1/while/Conv2D}}]]
"""


@pytest.mark.slow
def test_a_trial_that_exhausts_the_memory_of_its_device_fails_and_the_study_goes_on(tmp_path: Path) -> None:
    """A trial for which the memory of the device does not suffice fails with a sentence, and the study goes on.

    Trains a network of more than 10^14 weights in one of four trials.
    """
    calls: list[int] = []

    def work(job: Job, data: TrainingData) -> RungResult:
        calls.append(job.until)
        if len(calls) == 2:
            return train_rung(replace(job, architecture=LARGER_THAN_ANY_DEVICE), figures())
        return learn(job, data)

    found = rows(StudyHarness(tmp_path, work, trials=4, cost_aware=False).run())
    (reason,) = [row["reason"] for row in found if row["state"] == "failed"]
    where = r"and type float on \S+ by allocator \w+"
    assert re.fullmatch(rf"out_of_memory: OOM when allocating tensor with shape\[\d+\] {where}", reason)
    assert len(found) == 4


def test_a_training_that_exhausts_the_memory_of_its_device_ends_with_one_line(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the memory of the device does not suffice for `train`, one line names the remedy, and the next run goes on
    after the last epoch.

    Raises the error of a GPU from the steps of the second epoch, since the machine may have none.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    workspace = make_workspace(tmp_path / "workspace", empty_database)
    calls, original = [0], TensorFlowSteps.train

    def train(steps: TensorFlowSteps, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise ResourceExhaustedError(None, None, OF_A_GPU)
        return original(steps, *arguments)

    monkeypatch.setattr(TensorFlowSteps, "train", train)
    with pytest.raises(SystemExit, match="1"):
        run_main(workspace.run)
    printed = capsys.readouterr()
    remedy = "close other programs, or reduce training.batch_size or search.workers, and run the command again"
    assert printed.err.splitlines()[-1] == f"error: memory is exhausted; {remedy}"
    assert "Traceback" not in printed.out + printed.err
    assert "epoch 1/3" in printed.out
    assert not workspace.outputs()
    workspace.run()
    assert "resuming after epoch 1 of 3" in capsys.readouterr().out
    assert "models/model.keras" in workspace.outputs()
