"""A folder in which the search stage runs as for a user, on splits that do not require the stage prepare."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.data.dataset import Dataset, write_dataset
from pipeline.data.split import make_split, write_split
from tests.search.harness import PARAMS

SMALL = {
    # so many multiply-accumulates that `precision: auto` is bfloat16 on processors that have it
    "  - filters: 16": "  - filters: 128",
    "  - filters: 32": "  - filters: 64",
    "  trials: 40 ": "  trials: 4 ",
    "  epochs: 18 ": "  epochs: 4 ",
    "  reduction_factor: 3 ": "  reduction_factor: 2 ",
    "  min_steps: 120 ": "  min_steps: 0 ",
    "  startup_trials: 12 ": "  startup_trials: 2 ",  # so that TPE draws, too
    "  engine: processes ": "  engine: inline ",
    "  workers: 2 ": "  workers: 1 ",
}


def enable_ctrl_c() -> None:
    """Handle Ctrl-C, which processes started in the background of a shell ignore, including these tests."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Project:
    """A folder with params.yaml and small prepared splits, in which the stage runs as for a user."""

    def __init__(self, database: Path, root: Path, changes: dict[str, str], **environment: str) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        shutil.copy(database, root / "mlflow.db")
        self.environment = environment
        prepared = root / "data" / "prepared"
        random = np.random.default_rng(0)
        labels = np.arange(240, dtype=np.int64) % 10
        images = random.integers(0, 80, (240, 8, 8, 1), dtype=np.uint8)
        images[np.arange(240), labels % 8] += 100  # a bright row for each class; two pairs of classes share one
        splits = [make_split("train", images[:160], labels[:160]), make_split("val", images[160:], labels[160:])]
        for split in splits:
            write_split(split, prepared / split.name)
        dataset = Dataset(
            name="rows",
            input_shape=(8, 8, 1),
            dtype="uint8",
            classes=tuple("0123456789"),
            counts={"train": dict.fromkeys("0123456789", 16), "val": dict.fromkeys("0123456789", 8)},
            mean=(float(images[:160].mean()),),
            std=(float(images[:160].std()),),
            digests={split.name: split.digest for split in splits},
            duplicates={},
            skipped=(),
        )
        write_dataset(dataset, prepared / "dataset.json")
        text = PARAMS.read_text()
        for old, new in changes.items():
            assert old in text, old
            text = text.replace(old, new, 1)
        (root / "params.yaml").write_text(text)
        (root / "dvc.yaml").touch()  # `fovea` recognises a project by this file

    def start(self, *options: str) -> "subprocess.Popen[str]":
        return self._start("-m", "search", *options)

    def _start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        environment |= {"PYTHONPATH": str(PARAMS.parent), "TF_CPP_MIN_LOG_LEVEL": "3"} | self.environment
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=enable_ctrl_c,
            start_new_session=True,
        )

    def run(self, *options: str) -> tuple[int, str, str]:
        return self._finish(self.start(*options))

    def status(self) -> tuple[int, str, str]:
        return self._finish(self._start("-m", "pipeline.cli", "status"))

    def _finish(self, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
        out, err = process.communicate()
        return process.returncode, out, err

    def kill_after(self, prefix: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start the stage; once it has printed a line with this prefix, pause it, call `meanwhile` and kill it."""
        process = self.start()
        assert process.stdout is not None
        assert process.stderr is not None
        seen = any(text.startswith(prefix) for text in process.stdout)
        process.send_signal(signal.SIGSTOP)  # so that it does not finish in the meantime
        meanwhile()
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert seen

    def interrupt_after(self, prefix: str) -> tuple[int, str]:
        """Press Ctrl-C once the stage has printed a line with this prefix; return its exit status and its stderr."""
        process = self.start()
        assert process.stdout is not None
        assert any(text.startswith(prefix) for text in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate()
        return process.returncode, err

    def outputs(self) -> dict[str, bytes]:
        files = (self.root / "reports/search").iterdir()
        return {file.name: file.read_bytes() for file in (*files, self.root / "models/architecture.yaml")}


Make = Callable[..., Project]
