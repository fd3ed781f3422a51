"""Time, memory and page size of the default evaluation of a Fashion-MNIST network, and memory of `predict`.

Needs the four IDX files at the path in examples/fashion_mnist.yaml. The network is the baseline of the example, trained
for one epoch in a temporary folder, because the cost of an evaluation does not depend on the accuracy. Exits with 1 if
a target is missed.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from table import machine

from pipeline import prepare, train
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.sections.load import load_params

PARAMS = Path("examples/fashion_mnist.yaml").resolve()
ROOT = Path.cwd()
CORES = 2
MAX_MINUTES, MAX_MEBIBYTES, MAX_MEGABYTES = 4, 2048, 8


def main() -> None:
    """Train, evaluate without and with a champion, predict, and print the table."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    rows: list[tuple[str, str, float, float | None]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        train_networks = _prepared()
        train_networks(1)
        for case in ("without a champion", "with a champion"):
            seconds, mebibytes = _measured("pipeline.evaluate", "--params", str(PARAMS))
            page = Path("logs/evaluate/report.html").stat().st_size / 1e6
            rows.append((f"evaluation {case}, minutes", ".2f", seconds / 60, MAX_MINUTES))
            rows.append((f"evaluation {case}, peak resident memory, MiB", ",.0f", mebibytes, MAX_MEBIBYTES))
            rows.append((f"evaluation {case}, page, MB", ".2f", page, MAX_MEGABYTES))
            _measured("pipeline.register", "--params", str(PARAMS))
            train_networks(2)
        _write_images(Path("images"))
        answers = ("--model", "models/model.keras", "--format", "csv")
        few, many = (_measured("pipeline.predict", f"images/{pattern}", *answers) for pattern in ("00*.png", "*.png"))
        rows.append(("predict, 100 images, peak resident memory, MiB", ",.0f", few[1], None))
        rows.append(("predict, 10,000 images, peak resident memory, MiB", ",.0f", many[1], None))
        rows.append(("predict, 9,900 more images, seconds", ".1f", many[0] - few[0], None))
    print(machine())
    print("| what, one run | measured | target, at most |\n| --- | --- | --- |")
    for what, form, value, aim in rows:
        print(f"| {what} | {value:{form}} | {'' if aim is None else f'{aim:,}'} |")
    if any(aim is not None and value > aim for _, _, value, aim in rows):
        sys.exit("a target was missed")


def _measured(module: str, *arguments: str) -> tuple[float, float]:
    """Return the run time in seconds and the peak resident memory in MiB of a command in a separate process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{module} failed")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def _write_images(folder: Path) -> None:
    """Write the 10,000 test images as PNG files."""
    folder.mkdir()
    for number, image in enumerate(read_split(Path("data/prepared/test"), "test").images):
        Image.fromarray(image[..., 0]).save(folder / f"{number:04}.png")


def _prepared() -> Callable[[int], None]:
    """Prepare the data, and return a function that trains the baseline at two learning rates with a given seed."""
    params = load_params(PARAMS)
    prepared = Path("data/prepared")
    prepare.run(params, prepare.Paths(prepared, Path("reports/prepare")))
    dataset = read_dataset(prepared / "dataset.json")
    architecture = Architecture.from_model(params.model, dataset.input_shape, len(dataset.classes))
    slower: dict[str, int | float | str] = {"learning_rate": params.training.learning_rate / 2}
    for name, settings in (("architecture", slower), ("baseline", {})):
        write_candidate(Candidate(architecture=architecture, training=settings), Path(f"models/{name}.yaml"))
    short = params.model_copy(update={"training": params.training.model_copy(update={"epochs": 1})})
    return lambda seed: train.run(short.model_copy(update={"seed": seed}))


if __name__ == "__main__":
    main()
