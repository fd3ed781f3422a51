"""Memory and speed on data that is larger than the memory given to it.

The data are random images of 128×128×3 in one .npy file, one of two classes brighter than the other. Each stage runs in
a process of its own. Its memory is the largest sum of RssAnon and RssShmem in /proc over the process and its children,
sampled ten times a second: everything but mapped pages of files, which the system can take back at any time.

The speed is that of one network on random batches of the written training split, whose pages were dropped from the
page cache before (as root), against the same number of batches of an array in memory. The processes alternate.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from peer_data import ROOT
from results import publish
from ruamel.yaml import YAML
from table import machine, run_script, spread
from training_speed import BATCH

from pipeline.terminal.console import run_main

SHAPE = (128, 128, 3)
STAGES = ("prepare", "search", "train")
IN_MEMORY, MAPPED = "in memory", "mapped from the disk"
CHANGES = {
    "training": {"epochs": 1, "batch_size": BATCH},
    "search": {"trials": 2, "epochs": 1, "min_epochs": 1, "min_steps": 0, "workers": 1, "engine": "inline"},
    "model": {"blocks": [{"filters": 8, "strides": 2}, {"filters": 8, "strides": 2}, {"filters": 16, "strides": 2}]},
}


def write_images(folder: Path, gigabytes: float) -> int:
    """Write images.npy and labels.npy, and return the number of images."""
    folder.mkdir(parents=True)
    count = int(gigabytes * 1e9 / np.prod(SHAPE))
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, *SHAPE))
    draw, labels = np.random.default_rng(1), np.arange(count) % 2
    for start in range(0, count, 500):
        block = draw.integers(0, 200, (min(500, count - start), *SHAPE), np.uint8)
        images[start : start + 500] = block + (20 * labels[start : start + 500, None, None, None]).astype(np.uint8)
    images.flush()
    np.save(folder / "labels.npy", labels)
    return count


def write_params(folder: Path) -> None:
    """Write params.yaml for the images in a folder."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params["data"]["source"] = f"npy:{folder / 'data'}"
    for section, changes in CHANGES.items():
        params[section].update(changes)
    params["search"]["finalists"]["count"] = 0
    yaml.dump(params, folder / "params.yaml")


def peak_of(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command, and return its seconds and the GiB of its memory that are not mapped files."""
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()))
    reader.start()
    tree = psutil.Process(process.pid)
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            peak = max(peak, sum(_own_bytes(each.pid) for each in [tree, *tree.children(recursive=True)]))
        time.sleep(0.1)
    reader.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{''.join(output)[-3000:]}")
    return time.perf_counter() - began, peak / 1024**3


def _own_bytes(pid: int) -> int:
    """Bytes of a process that are not mapped files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem") if name in fields)


def speed(name: str, prepared: Path, steps: int) -> float:
    """Return the images per second of training on random batches."""
    from pipeline.backend.runtime import configure, start_backend

    start_backend()
    configure(2)
    from pipeline.cnn.architecture import Architecture
    from pipeline.data.training_data import read_training_data
    from pipeline.sections.load import load_params
    from pipeline.trainers.cache import make_trainer
    from pipeline.trainers.trainer import Plan

    data, params = read_training_data(prepared), load_params(prepared.parents[1] / "params.yaml")
    architecture = Architecture(input_shape=SHAPE, classes=2, blocks=params.model.blocks, head=params.model.head)
    plan = Plan(architecture, params.training, data.dataset, np.ones(2, np.float32), 1, np.full(9999, 1e-3, np.float32))
    trainer = make_trainer(plan)
    trainer.start(plan, None)
    draw = np.random.default_rng(2)
    count = steps * BATCH
    warm_up = np.sort(draw.choice(len(data.train.labels), 10 * BATCH, replace=False))
    trainer.train(np.asarray(data.train.images[warm_up]), data.train.labels[warm_up], np.arange(len(warm_up)))
    chosen = draw.choice(len(data.train.labels), min(count, len(data.train.labels)), replace=False)
    images, labels, order = data.train.images, data.train.labels, chosen
    if name == IN_MEMORY:
        images, labels, order = np.asarray(images[np.sort(chosen)]), labels[np.sort(chosen)], np.arange(len(chosen))
    else:
        subprocess.run(["sync"], check=True)
        Path("/proc/sys/vm/drop_caches").write_text("1\n", encoding="ascii")
    began = time.perf_counter()
    trainer.train(images, labels, order)
    return len(chosen) / (time.perf_counter() - began)


def main() -> None:
    """Print and publish the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=12.0)
    parser.add_argument("--stages", nargs="*", choices=(*STAGES, "evaluate"), default=STAGES)
    parser.add_argument("--steps", type=int, default=150, help="steps of the timed epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of the measurement of the speed; 0: none")
    parser.add_argument("--folder", type=Path, help="folder that is kept, and used again; default: a temporary one")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print("\n" + json.dumps(speed(arguments.run[0], Path(arguments.run[1]), arguments.steps)))
        return
    print(machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        if not (folder / "params.yaml").exists():
            write_images(folder / "data", arguments.gigabytes)
            write_params(folder)
            (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
        if arguments.stages:
            print_memory(arguments.stages, folder)
        if arguments.repeats:
            print_speed(arguments.repeats, arguments.steps, folder / "data/prepared")


def print_memory(stages: Sequence[str], folder: Path) -> None:
    """Run stages, and print and publish the table of their memory."""
    rows = []
    for stage in stages:
        command = [sys.executable, "-m", "search" if stage == "search" else f"pipeline.{stage}"]
        seconds, gib = peak_of(command, folder)
        rows.append([stage, f"{seconds:.0f}", f"{gib:.2f}"])
        print(*rows[-1], flush=True)
    size = (folder / "data" / "images.npy").stat().st_size / 1e9
    publish("size_memory", [f"{size:.1f} GB of images", "seconds", "memory in GiB, without mapped files"], rows)


def print_speed(repeats: int, steps: int, prepared: Path) -> None:
    """Measure the speed, and print and publish its table."""
    found: dict[str, list[float]] = {IN_MEMORY: [], MAPPED: []}
    for _ in range(repeats):
        for name in found:
            found[name].append(run_script(__file__, "--run", name, str(prepared), "--steps", str(steps)))
            print(name, f"{found[name][-1]:.0f}", flush=True)
    ratios = [mapped / memory for memory, mapped in zip(found[IN_MEMORY], found[MAPPED], strict=True)]
    publish(
        "size_speed",
        ["training images", "images per second", "ratio"],
        [[IN_MEMORY, spread(found[IN_MEMORY], 0), ""], [MAPPED, spread(found[MAPPED], 0), spread(ratios)]],
    )


if __name__ == "__main__":
    run_main(main)
