"""The default evaluation of a Fashion-MNIST network: time, memory, size of the page; and memory of `predict`.

Needs the four IDX files where examples/fashion_mnist.yaml says. The network is the example's baseline, trained for an
epoch in a temporary folder; how well it does has no part in what its evaluation costs.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from table import machine

from pipeline import prepare, train
from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate, write_candidate
from pipeline.data.dataset import read_dataset
from pipeline.data.split import read_split
from pipeline.params import load_params

PARAMS = Path("examples/fashion_mnist.yaml").resolve()
ROOT = Path.cwd()
MOST_MINUTES, MOST_MEBIBYTES, MOST_MEGABYTES = 4, 2048, 8


def main() -> None:
    """Train, evaluate, print."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _make_network()
        seconds, mebibytes = _measured("pipeline.evaluate", "--params", str(PARAMS))
        page = Path("reports/evaluate/report.html").stat().st_size / 1e6
        _write_images(Path("images"))
        answers = ("--model", "models/model.keras", "--format", "csv")
        few, many = (_measured("pipeline.predict", f"images/{pattern}", *answers) for pattern in ("00*.png", "*.png"))
    print(machine())
    print("| what | measured | aim |\n| --- | --- | --- |")
    print(f"| evaluation, minutes | {seconds / 60:.2f} | {MOST_MINUTES} |")
    print(f"| evaluation, most resident memory, MiB | {mebibytes:,.0f} | {MOST_MEBIBYTES:,} |")
    print(f"| its page, MB | {page:.2f} | {MOST_MEGABYTES} |")
    print(f"| predict, 100 images, most resident memory, MiB | {few[1]:,.0f} | |")
    print(f"| predict, 10,000 images, most resident memory, MiB | {many[1]:,.0f} | that of 100 |")
    print(f"| predict, 9,900 images more, seconds | {many[0] - few[0]:.1f} | |")


def _measured(module: str, *arguments: str) -> tuple[float, float]:
    """Seconds and most resident MiB of a command in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{module} failed")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def _write_images(folder: Path) -> None:
    """The 10,000 test images as PNG files."""
    folder.mkdir()
    for number, image in enumerate(read_split(Path("data/prepared/test"), "test").images):
        Image.fromarray(image[..., 0]).save(folder / f"{number:04}.png")


def _make_network() -> None:
    """Prepare the data, and train the baseline for an epoch; it is compared with itself."""
    params = load_params(PARAMS)
    prepared = Path("data/prepared")
    prepare.run(params.data, params.seed, prepared, Path("reports/prepare"))
    dataset = read_dataset(prepared / "dataset.json")
    architecture = Architecture.from_model(params.model, dataset.input_shape, len(dataset.classes))
    write_candidate(Candidate(architecture=architecture, training={}), Path("models/architecture.yaml"))
    brief = params.training.model_copy(update={"epochs": 1})
    for name, reports in (("model", "train"), ("baseline", "baseline")):
        train.run(
            brief,
            params.seed,
            candidate_path=Path("models/architecture.yaml"),
            dataset_path=prepared / "dataset.json",
            train=prepared / "train",
            val=prepared / "val",
            model_path=Path(f"models/{name}.keras"),
            reports=Path("reports", reports),
            checkpoints=Path("logs", name),
        )


if __name__ == "__main__":
    main()
