"""Compare Fovea, KerasTuner's Hyperband and a plain Optuna script with the same space, images and time limit.

Needs `pip install keras-tuner tensorboard` in addition to the lock file (KerasTuner imports tensorboard without
requiring it) and the training files of Fashion-MNIST. The test files are not read.

Each competitor runs in a separate process on the same processors. Its clock starts with the process, so the time
includes imports. After each epoch of a network, it logs the validation accuracy on all validation images. Batch size,
images, space and seeds are the same. The other settings are those of each tool: KerasTuner and the Optuna script train
in float32 at a constant learning rate on images scaled to [0, 1], for at most 10 epochs. Fovea standardizes the images,
trains in bfloat16 if the processor supports it, with a cosine learning rate schedule, averaged weights, whitening
filters, and the horizontal flips that `fovea init` recommends for these images. It starts with trial 0, a hand-written
plain network, trains one candidate at a time in rungs of 4, 12 and 27 epochs on 4/27, 12/27 and all of the images, and
prunes by successive halving. The other variants of Fovea show the effect of these settings.

A ratio divides the time in which the peer reached its best validation accuracy by the time in which the other
competitor reached the same accuracy. `<` marks a competitor that did not reach it; the time limit is then its time.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peer_data import FOLDER, ROOT
from peer_fovea import FOVEA, VARIANTS, fovea
from peer_runs import Run, keras_tuner, plain_optuna
from results import publish
from table import machine, require_packages, spread

from pipeline.terminal.console import run_main

GRACE_SECONDS = 120.0  # for a process to exit after its time limit
TUNER, OPTUNA = "KerasTuner Hyperband", "plain Optuna"


def main() -> None:
    """Run all competitors and print the tables."""
    arguments = _parse()
    if arguments.run:
        _compete(arguments.run, Run(**json.loads(arguments.settings), log=Path(arguments.log)))
        return
    require_packages("peers.py", "keras-tuner", "tensorboard")
    if arguments.quick:
        arguments.minutes, arguments.seeds, arguments.train, arguments.val = 0.3, arguments.seeds[:1], 2000, 500
    names = [TUNER, OPTUNA, *arguments.variants]
    print(machine())
    print(
        f"{arguments.train} training and {arguments.val} validation images, {arguments.minutes:g} minutes on "
        f"{arguments.threads} threads each, batch size {arguments.batch_size}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as temporary:
        logs = arguments.logs or Path(temporary)
        logs.mkdir(parents=True, exist_ok=True)
        found: dict[int, dict[str, list[dict[str, Any]]]] = {}
        for turn, seed in enumerate(arguments.seeds):
            found[seed] = {}
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]  # rotate the order between seeds
                found[seed][name] = _measure(name, seed, arguments, logs.resolve())
    limit = arguments.minutes * 60
    _publish_results(found, names, limit)
    _publish_times(found, names, limit)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--minutes", type=float, default=10.0, help="time limit of each competitor")
    parser.add_argument("--threads", type=int, default=2, help="processors per competitor")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=[FOVEA], help="variants of Fovea")
    parser.add_argument("--batch-size", type=int, default=64, help="batch size of all competitors")
    parser.add_argument("--train", type=int, default=20_000, help="number of training images")
    parser.add_argument("--val", type=int, default=5_000, help="number of validation images")
    parser.add_argument("--logs", type=Path, help="folder for logs; finished logs with the same settings are reused")
    parser.add_argument("--quick", action="store_true", help="smoke test of about a minute")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--settings", help=argparse.SUPPRESS)
    parser.add_argument("--log", help=argparse.SUPPRESS)
    return parser.parse_args()


def _compete(name: str, run: Run) -> None:
    """Run a competitor in this process, limited to `run.threads` processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: run.threads])
    if name in VARIANTS:
        fovea(run)
        return
    import keras

    keras.utils.set_random_seed(run.seed)
    {TUNER: keras_tuner, OPTUNA: plain_optuna}[name](run)


def _measure(name: str, seed: int, arguments: argparse.Namespace, logs: Path) -> list[dict[str, Any]]:
    """Run a competitor and return its log: one line per epoch, then one line with the counts."""
    settings = {
        "seconds": arguments.minutes * 60, "folder": str(arguments.folder.resolve()), "train": arguments.train,
        "val": arguments.val, "threads": arguments.threads, "batch_size": arguments.batch_size, "seed": seed,
        "variant": name,
    }  # fmt: skip
    log = logs / f"{name.replace(',', '').replace(' ', '-')}-{seed}.jsonl"
    if (lines := _read(log)) and lines[0] == settings and "trials" in lines[-1]:
        return lines[1:]
    log.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    paths = [str(ROOT), *(str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(":") if path)]
    environment = os.environ | {
        "PYTHONPATH": ":".join(paths), "TF_CPP_MIN_LOG_LEVEL": "2", "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, log.with_suffix(".txt").open("w") as output:
        content = json.dumps(settings | {"began": time.time()})
        command = [sys.executable, __file__, "--run", name, "--settings", content, "--log", str(log)]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            process.wait(arguments.minutes * 60 + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"  {name} did not exit after its time limit", flush=True)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = _read(log)[1:]
    if process.returncode != 0 or not lines:
        print(f"  {name}, seed {seed}: exit status {process.returncode}; see {log.with_suffix('.txt')}", flush=True)
        print("".join(f"    {line}\n" for line in log.with_suffix(".txt").read_text().splitlines()[-8:]))
    return lines


def _read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []


def _epochs(log: list[dict[str, Any]], limit: float) -> list[dict[str, Any]]:
    return [line for line in log if line.get("seconds", limit + 1) <= limit]


def _best(log: list[dict[str, Any]], limit: float) -> dict[str, Any]:
    """Return the first line with the best validation accuracy."""
    return max(_epochs(log, limit), key=lambda line: line["val_accuracy"], default={"val_accuracy": 0.0, "seconds": 0})


def _publish_results(found: dict[int, dict[str, list[dict[str, Any]]]], names: list[str], limit: float) -> None:
    rows = []
    for seed, logs in found.items():
        for name in names:
            log = logs[name]
            best, counts = _best(log, limit), log[-1] if log else {}
            failed = f", {counts['failed']} failed" if counts.get("failed") else ""
            cells = f"{best['val_accuracy']:.4f}", f"{best['seconds']:.0f}", f"{counts.get('networks', '?')}{failed}"
            rows.append([str(seed), name, *cells])
    for name in names:
        accuracies = [_best(logs[name], limit)["val_accuracy"] for logs in found.values()]
        rows.append(["median", name, spread(accuracies, 4), "", ""])
    publish("peers_accuracy", ["seed", "competitor", "best validation accuracy", "after, s", "networks"], rows)


def _publish_times(found: dict[int, dict[str, list[dict[str, Any]]]], names: list[str], limit: float) -> None:
    rows = []
    for peer in (TUNER, OPTUNA):
        for name in names:
            if name == peer:
                continue
            ratios, missed, cells = [], 0, []
            for logs in found.values():
                target, epochs = _best(logs[peer], limit), _epochs(logs[name], limit)
                if not target["seconds"] or not epochs:
                    cells.append("failed")
                    continue
                reached = [line for line in epochs if line["val_accuracy"] >= target["val_accuracy"]]
                ratios.append(target["seconds"] / (reached[0]["seconds"] if reached else limit))
                missed += not reached
                cells.append(f"{'' if reached else '< '}{ratios[-1]:.2f}")
            note = f", not reached {missed} times" if missed else ""
            rows.append([peer, name, *cells, spread(ratios) + note if ratios else "failed"])
    columns = ["against", "competitor", *(f"seed {seed}" for seed in found), "median (spread)"]
    publish("peers_time", columns, rows)


if __name__ == "__main__":
    run_main(main)
