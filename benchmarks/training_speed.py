"""Training images per second: Fovea, Keras's `fit`, and PyTorch. `--parts` selects the tables.

reference: 28×28×1, convolutions with 32, 64 and 128 filters of 3×3, each with batch normalization, ReLU and max
    pooling of 2, then global average pooling; batches of 128, Adam. PyTorch is measured in channels-last memory format,
    with and without bfloat16 autocast. It needs `pip install torch` in addition to the lock file. On a GPU, its images
    stay in GPU memory, and it is also measured with torch.compile and CUDA graphs.
space: Networks that the space of params.yaml draws for 28×28×1, within its budget. Keras trains the same layers.
series: Networks that it draws for 256×3.
volumes: Networks that it draws for 12×12×12×1.

On a processor with AVX2 only, the names of the tables end in `_avx2`. With ONEDNN_MAX_CPU_ISA=AVX2 and
ATEN_CPU_CAPABILITY=avx2, a newer processor computes with AVX2.

On a GPU, KERAS_BACKEND selects the backend of Fovea and Keras, and Keras is also measured in mixed precision.

Each competitor trains on random images in a process of its own. The processes alternate: in each repeat, every
competitor trains each network for one epoch to warm up, and for one timed epoch or more. Ratios compare the processes
of one repeat.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import geometric_mean, median
from typing import Any

import numpy as np
from peer_data import ROOT
from results import publish
from table import machine, run_script, spread

from pipeline.backend.name import backend_name
from pipeline.backend.precision import processor_flags
from pipeline.cnn.architecture import Architecture
from pipeline.data.dataset import Dataset
from pipeline.machine.device import gpu_handles
from pipeline.machine.instructions import onednn
from pipeline.params import Block, Head
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main

BATCH = 128
FOVEA, FLOAT32, KERAS, MIXED = "Fovea, auto", "Fovea, float32", "Keras fit", "Keras fit, mixed_bfloat16"
TORCH = ("PyTorch, float32", "PyTorch, bfloat16")
COMPILED = "PyTorch, bfloat16, torch.compile"  # on GPUs
BLOCK = Block(filters=32, normalization="batch")
SHAPES = {"reference": (28, 28, 1), "space": (28, 28, 1), "series": (256, 3), "volumes": (12, 12, 12, 1)}
REFERENCE = Architecture(
    input_shape=SHAPES["reference"],
    classes=10,
    blocks=tuple(BLOCK.model_copy(update={"filters": filters}) for filters in (32, 64, 128)),
    head=Head(kind="global_average"),
)


def architectures(part: str, number: int) -> list[Architecture]:
    """Return the networks of a table."""
    if part == "reference":
        return [REFERENCE]
    shape = SHAPES[part]
    from search.estimate.precheck import RandomDraws
    from search.space.draw import propose
    from search.space.feasibility import check_feasibility

    params, drawn = load_params(ROOT / "params.yaml"), list[Architecture]()
    draws = RandomDraws(params.seed)
    while len(drawn) < number:
        candidate = propose(draws, params.search.space, params.model, shape, 10)
        if not check_feasibility(candidate, params.search.budget).violations:
            drawn.append(candidate.architecture)
    return drawn


def rates(name: str, networks: list[Architecture], steps: int, epochs: int, threads: int) -> Iterator[list[float]]:
    """Yield the images per second of each network in each timed epoch."""
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (BATCH * steps, *networks[0].input_shape), np.uint8)
    labels = draw.integers(0, 10, BATCH * steps)
    for architecture in networks:
        epoch = make_epoch(name, architecture, images, labels, threads)
        epoch()
        measured = []
        for _ in range(epochs):
            began = time.perf_counter()
            epoch()
            measured.append(len(labels) / (time.perf_counter() - began))
        yield measured


def make_epoch(name: str, architecture: Architecture, images: Any, labels: Any, threads: int) -> Callable[[], Any]:
    """Return a function that trains a network of a competitor for one epoch; `name` is that of the competitor."""
    if name in (*TORCH, COMPILED):
        return _torch_epoch(images, labels, threads, bfloat16=name != TORCH[0], compiled=name == COMPILED)
    from pipeline.backend.runtime import configure, start_backend

    start_backend()
    configure(threads)
    shape = architecture.input_shape
    dataset = Dataset(
        name="random", input_shape=shape, dtype="uint8", classes=tuple("0123456789"), counts={},
        mean=(127.5,) * shape[-1], std=(73.9,) * shape[-1], digests={}, duplicates={}, skipped=(),
    )  # fmt: skip
    if name in (KERAS, MIXED):
        import keras

        from pipeline.cnn.build import build

        keras.config.set_dtype_policy("mixed_bfloat16" if name == MIXED else "float32")
        network = build(architecture, dataset.mean, dataset.std, logits=True)
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return lambda: network.fit(images, labels, batch_size=BATCH, verbose=0)
    from pipeline.trainers.cache import make_trainer
    from pipeline.trainers.trainer import Plan

    changes = {"batch_size": BATCH, "optimizer": "adam", "precision": "auto" if name == FOVEA else "float32"}
    training = load_params(ROOT / "params.yaml").training.model_copy(update=changes)
    plan = Plan(architecture, training, dataset, np.ones(10, np.float32), 1, np.full(2 * len(labels), 1e-3, np.float32))
    trainer = make_trainer(plan)
    trainer.start(plan, None)
    return lambda: trainer.train(images, labels, np.arange(len(labels)))


def _torch_epoch(images: Any, labels: Any, threads: int, bfloat16: bool, compiled: bool) -> Callable[[], Any]:
    import torch  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(threads)
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    layers: list[Any] = []
    for before, filters in ((1, 32), (32, 64), (64, 128)):
        convolution = torch.nn.Conv2d(before, filters, 3, padding=1, bias=False)
        layers += [convolution, torch.nn.BatchNorm2d(filters), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(128, 10)]
    network: Any = torch.nn.Sequential(*layers).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    inputs, targets = torch.tensor(images.transpose(0, 3, 1, 2)).to(device), torch.tensor(labels).to(device)
    if compiled:
        network = torch.compile(network, mode="reduce-overhead")

    def epoch() -> None:
        for start in range(0, len(targets), BATCH):
            batch = inputs[start : start + BATCH].float().sub_(127.5).div_(73.9)
            with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
                scores = network(batch.to(memory_format=torch.channels_last))
                loss = torch.nn.functional.cross_entropy(scores, targets[start : start + BATCH])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    return epoch


def main() -> None:
    """Print and publish the tables."""
    arguments = _parse()
    if arguments.run:
        networks = architectures(arguments.part, arguments.networks)
        measured = list(rates(arguments.run, networks, arguments.steps, arguments.epochs, arguments.threads))
        print("\n" + json.dumps(list(zip(*measured, strict=True))))
        return
    print(machine())
    on_gpu = gpu_handles() is not None
    arguments.steps = arguments.steps or (400 if on_gpu else 40)
    keras = (KERAS, MIXED) if on_gpu else (KERAS,)
    torch = (*TORCH, COMPILED) if on_gpu else TORCH
    for part in arguments.parts:
        peers = torch if part == "reference" and find_spec("torch") else ()
        _print(part, (*keras, FLOAT32, FOVEA, *peers), arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=SHAPES, default=("reference", "space"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", type=int, default=20, help="number of networks that the space draws")
    parser.add_argument("--steps", type=int, help="steps of the timed epoch (default: 40; on a GPU 400)")
    parser.add_argument("--epochs", type=int, default=1, help="timed epochs of each process; each counts as a repeat")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args()


def _measure(name: str, part: str, arguments: argparse.Namespace) -> list[list[float]]:
    """Return the images per second of all networks, for each timed epoch of a process."""
    numbers = {key: str(getattr(arguments, key)) for key in ("networks", "steps", "epochs", "threads")}
    options = [part for key, value in numbers.items() for part in (f"--{key}", value)]
    measured: list[list[float]] = run_script(__file__, "--run", name, "--part", part, *options)
    return measured


def _print(part: str, names: tuple[str, ...], arguments: argparse.Namespace) -> None:
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for repeat in range(arguments.repeats):
        for name in names if repeat % 2 == 0 else names[::-1]:
            found[name].extend(_measure(name, part, arguments))
    rows, suffix = [], "" if gpu_handles() is None else "_gpu"
    if suffix or backend_name() != "tensorflow":
        suffix += f"_{backend_name()}"
    if onednn(processor_flags(), os.environ) == "AVX2":
        suffix += "_avx2"
    peers = [name for name in names if name.startswith("PyTorch")]
    for name in names:
        means = [geometric_mean(each) for each in found[name]]
        ratios = [
            geometric_mean([mine / keras for mine, keras in zip(one, other, strict=True)])
            for one, other in zip(found[name], found[KERAS], strict=True)
        ]
        rows.append([name, spread(means, 0), spread(ratios)])
        if peers and name.startswith("Fovea"):
            best = [max(rates) for rates in zip(*([each[0] for each in found[peer]] for peer in peers), strict=True)]
            rows[-1].append(spread([mine[0] / peer for mine, peer in zip(found[name], best, strict=True)]))
        elif part == "reference":
            rows[-1].append("")
    each = "images per second" + ("" if part == "reference" else f", geometric mean of {arguments.networks} networks")
    more = ["ratio to the best PyTorch"] if part == "reference" else []
    publish(f"training_speed_{part}{suffix}", ["", each, "ratio to Keras fit", *more], rows)
    if part != "reference":
        slowest = [
            median(mine[place] / keras[place] for mine, keras in zip(found[FOVEA], found[KERAS], strict=True))
            for place in range(arguments.networks)
        ]
        shown = f"{min(slowest):.2f}", f"{max(slowest):.2f}", f"{sum(ratio < 1 for ratio in slowest)}"
        networks = "networks" if part == "space" else f"networks_{part}"
        publish(
            f"training_speed_{networks}{suffix}",
            ["lowest ratio of a network", "highest", "networks slower than Keras"],
            [[*shown]],
        )


if __name__ == "__main__":
    run_main(main)
