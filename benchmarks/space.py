"""Compare three treatments of architectures that do not fit their input, with the same sampler and space.

- clipping: Fovea's `search.space.propose`. The ranges are constant, and values that do not fit are clipped.
- bounded: Each kernel, window and stride is drawn block by block from a range whose upper limit still fits. No invalid
  value is drawn, but the ranges differ between trials, so TPE cannot model these variables jointly.
- constraints: Values are drawn and not clipped. A candidate that does not fit is pruned with a violated constraint, and
  counts as a trial.

The sampler is Optuna's TPE with Fovea's settings (multivariate, group, constant liar) and 10 random start-up trials.
The space contains every key of search.space (see SPACE), drawn per block if the key allows it.

The surrogate objective is a smooth function of the built architecture, with values between 0 and 1:

    0.4 (1 − exp(−d / 4)) + 0.2 exp(−(w − 4)² / 2) + 0.4 (1 − exp(−r / 2n))

d: number of convolutions; w: mean of log2(filters) over the blocks (so 16 filters are optimal); r: receptive field of
the last layer before the head; n: extent of the input. A deep network needs large feature maps, whereas a large
receptive field needs strides and pooling, which shrink them. The surrogate evaluates the search, not the learning.

With --real, a trial trains for one epoch on the digits (8×8×1) or on 2,000 images of Fashion-MNIST (28×28×1), and its
value is the validation accuracy. In all three treatments, a candidate that exceeds a budget of multiply-accumulates is
reported as a violated constraint and redrawn. Such candidates count neither as trials nor as infeasible. The value of a
diverged training is 0.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import exp, log2
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Literal

import optuna
from optuna.trial import TrialState
from peer_data import FOLDER, ROOT, digits, fashion
from table import machine, spread

from pipeline.cnn.architecture import Architecture
from pipeline.cnn.candidate import Candidate
from pipeline.cnn.clipping import clip_architecture
from pipeline.cnn.geometry import compute_geometry
from pipeline.data.training_data import TrainingData
from pipeline.params import Block, Head, SpaceParams
from pipeline.sections import Params
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main
from search.space.draw import draw, matters, propose, written_block
from search.space.feasibility import check_feasibility
from search.study.job import Job, train_rung

Treatment = Literal["clipping", "bounded", "constraints"]
TREATMENTS: tuple[Treatment, ...] = ("clipping", "bounded", "constraints")
Value = Callable[[Candidate, int], float]
STARTUP_TRIALS = 10
MAX_DRAWS = 20  # per trial, if candidates that exceed the budget are redrawn


def _per_block(low: int, high: int, step: int = 1) -> dict[str, object]:
    return {"low": low, "high": high, "step": step, "per_block": True}


def _one_of(*choices: object) -> dict[str, object]:
    return {"choices": list(choices), "per_block": True}


SPACE = SpaceParams.model_validate(
    {
        "blocks": {"low": 1, "high": 5},
        "filters": [4, 8, 16, 32],
        "filter_growth": [0.5, 1, 2],
        "convs": _per_block(1, 3),
        "kernel_size": _per_block(1, 7, 2),
        "strides": _per_block(1, 3),
        "padding": _one_of("same", "valid"),
        "convolution": _one_of("ordinary", "separable"),
        "normalization": _one_of("none", "batch"),
        "activation": _one_of("relu", "gelu", "silu"),
        "residual": _one_of(False, True),
        "attention": _one_of("none", "squeeze_excite"),
        "pooling": _one_of("max", "average", "none"),
        "pool_size": _per_block(2, 4),
        "pool_strides": _per_block(1, 3),
        "pool_first": _one_of(False, True),
        "dropout": {"low": 0.0, "high": 0.5},
        "head": ["flatten", "global_average", "global_max", "convolution"],
        "dense_layers": {"low": 0, "high": 2},
        "dense_units": {"low": 16, "high": 128, "log": True},
        "head_dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["sgd", "adam", "adamw"],
        "learning_rate": {"low": 0.0003, "high": 0.03, "log": True},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "label_smoothing": {"low": 0.0, "high": 0.2},
        "batch_size": [32, 64, 128],
        "augmentation": {"low": 0.0, "high": 2.0},
    }
)


@dataclass(frozen=True)
class Result:
    """Result of a study.

    Attributes:
        best: Best value.
        infeasible: Fraction of the trials that are infeasible.
        over_budget: Number of candidates that exceeded the budget of multiply-accumulates.
        ask_seconds: Mean seconds of asking for and drawing a candidate.
    """

    best: float
    infeasible: float
    over_budget: int
    ask_seconds: float


class Drawn:
    """Returns values that were drawn before, and draws all others from the trial."""

    def __init__(self, trial: optuna.Trial, values: dict[str, Any]) -> None:
        self._trial, self._values = trial, values

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._values[name] if name in self._values else self._trial.suggest_categorical(name, choices)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return (
            self._values[name] if name in self._values else self._trial.suggest_int(name, low, high, step=step, log=log)
        )

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self._trial.suggest_float(name, low, high, step=step, log=log)


def bounded(trial: optuna.Trial, params: Params, shape: tuple[int, ...], classes: int) -> Candidate:
    """Draw a candidate block by block, from ranges whose upper limits still fit."""
    given: dict[str, Any] = dict(SPACE.given())
    values: dict[str, Any] = {}

    def choice(key: str, number: int) -> Any:
        name = f"{key}_{number}"
        values[name] = trial.suggest_categorical(name, list(given[key].choices))
        return values[name]

    def whole(key: str, number: int, most: int) -> int:
        name, span = f"{key}_{number}", given[key]
        step = span.step or 1
        high = span.low + max(0, min(span.high, most) - span.low) // step * step
        values[name] = trial.suggest_int(name, span.low, high, step=step)
        return int(values[name])

    values["blocks"] = trial.suggest_int("blocks", given["blocks"].low, given["blocks"].high)
    grid = shape[:-1]
    for number in range(1, values["blocks"] + 1):
        content = written_block(params.model, number - 1) | {"filters": 1, "pool_first": False}
        content |= {"residual": choice("residual", number), "pooling": choice("pooling", number)}
        content["padding"] = choice("padding", number) if matters("padding", content) else "same"
        content["convs"] = whole("convs", number, given["convs"].high)
        content["strides"] = whole("strides", number, max(grid))
        largest = _largest_kernel(grid, content | {"kernel_size": given["kernel_size"].high, "pooling": "none"})
        content["kernel_size"] = whole("kernel_size", number, largest)
        if content["pooling"] != "none":
            convolved = _output_grid(grid, content | {"pooling": "none"})
            if max(convolved) < given["pool_size"].low:  # no window fits, so the block has no pooling
                content["pooling"] = values[f"pooling_{number}"] = "none"
            else:
                content["pool_size"] = whole("pool_size", number, min(convolved))
                content["pool_strides"] = whole("pool_strides", number, max(convolved))
        grid = _output_grid(grid, content)
    return draw(Drawn(trial, values), SPACE, params.model, shape, classes)


def _largest_kernel(grid: tuple[int, ...], content: dict[str, Any]) -> Any:
    """Return the given kernel size, or the largest one that fits."""
    one = Architecture(input_shape=(*grid, 1), classes=2, blocks=(Block(**content),), head=Head())
    return clip_architecture(one).blocks[0].kernel_size


def _output_grid(grid: tuple[int, ...], content: dict[str, Any]) -> tuple[int, ...]:
    one = Architecture(input_shape=(*grid, 1), classes=2, blocks=(Block(**content),), head=Head())
    body = [entry for entry in compute_geometry(one).layers if entry.layer.name.startswith("block")]
    return body[-1].output_shape[:-1]


def surrogate(candidate: Candidate, _: int) -> float:
    """Return the surrogate objective (see the docstring of this module)."""
    architecture = candidate.architecture
    depth = sum(block.convs for block in architecture.blocks)
    width = sum(log2(block.filters) for block in architecture.blocks) / len(architecture.blocks)
    field, extent = max(compute_geometry(architecture).receptive_field), max(architecture.input_shape[:-1])
    return 0.4 * (1 - exp(-depth / 4)) + 0.2 * exp(-((width - 4) ** 2) / 2) + 0.4 * (1 - exp(-field / (2 * extent)))


@dataclass(frozen=True)
class TrainingValue:
    """Objective: the validation accuracy after a short training."""

    data: TrainingData
    params: Params
    epochs: int

    def __call__(self, candidate: Candidate, seed: int) -> float:
        given = self.params.training.model_copy(update={"epochs": self.epochs, "patience": None})
        job = Job(candidate.architecture, candidate.overlay(given), seed, (1.0,) * self.epochs, self.epochs, None)
        outcome = train_rung(job, self.data)
        return outcome.history[-1]["val_accuracy"] if outcome.history else 0.0


def study(
    treatment: Treatment, params: Params, shape: tuple[int, ...], classes: int, trials: int, seed: int, value: Value,
    max_macs: int | None,
) -> Result:  # fmt: skip
    """Run a study of `trials` trials, including infeasible ones."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    budget = params.search.budget.model_copy(update={"max_params": None, "max_macs": max_macs})
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, group=True, seed=seed)
    made = optuna.create_study(direction="maximize", sampler=sampler)
    best, infeasible, counted, asking = 0.0, 0, 0, 0.0
    while counted < trials and len(made.get_trials(deepcopy=False)) < trials * MAX_DRAWS:
        began = time.perf_counter()
        trial = made.ask()
        match treatment:
            case "clipping":
                candidate = propose(trial, SPACE, params.model, shape, classes)
            case "bounded":
                candidate = bounded(trial, params, shape, classes)
            case "constraints":
                candidate = draw(trial, SPACE, params.model, shape, classes)
        asking += time.perf_counter() - began
        verdict = check_feasibility(candidate, budget)
        counted += not verdict.violations or "geometry" in verdict.violations
        infeasible += "geometry" in verdict.violations
        for key in ("geometry", *(["max_macs"] if max_macs else [])):
            trial.set_constraint(key, verdict.violations.get(key, 0.0))
        if verdict.violations:
            made.tell(trial, state=TrialState.PRUNED)
            continue
        reached = value(candidate, seed * 100_003 + trial.number)
        best = max(best, reached)
        made.tell(trial, reached)
    draws = len(made.get_trials(deepcopy=False))
    return Result(best, infeasible / counted if counted else 0.0, draws - counted, asking / draws)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="trials per surrogate study, including infeasible ones")
    parser.add_argument("--seeds", type=int, default=10, help="number of surrogate studies, seeds from 0")
    parser.add_argument("--real", action="store_true", help="also run studies with real training runs")
    parser.add_argument("--real-trials", type=int, default=100, help="trials per study with real training runs")
    parser.add_argument(
        "--real-seeds", type=int, default=3, help="number of studies with real training runs, seeds from 0"
    )
    parser.add_argument("--real-epochs", type=int, default=1, help="epochs of a real training")
    parser.add_argument(
        "--max-macs", type=int, default=5_000_000, help="budget of MACs per image in real training runs"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--quick", action="store_true", help="smoke test of about a minute")
    return parser.parse_args()


def main() -> None:
    """Run the studies and print the table."""
    arguments = _parse()
    if arguments.quick:
        arguments.trials, arguments.seeds, arguments.real_trials, arguments.real_seeds = 25, 2, 3, 1
    params = load_params(ROOT / "params.yaml")
    # Without an augmentation, its drawn strength would have no effect.
    amounts = params.training.augmentation.model_copy(update={"shift": 0.05})
    params = params.model_copy(update={"training": params.training.model_copy(update={"augmentation": amounts})})
    print(machine())
    _print_head("surrogate objective", arguments.trials)
    for shape in ((8, 8, 1), (28, 28, 1)):
        _compare(params, shape, arguments.trials, arguments.seeds, surrogate, None)
    if arguments.real:
        _print_head(f"validation accuracy after {arguments.real_epochs} epoch(s)", arguments.real_trials)
        for data in (digits(), fashion(arguments.folder, 2000, 1000)):
            value, shape = TrainingValue(data, params, arguments.real_epochs), data.dataset.input_shape
            _compare(params, shape, arguments.real_trials, arguments.real_seeds, value, arguments.max_macs)


def _print_head(what: str, trials: int) -> None:
    print(f"\n{what}, {trials} trials")
    print(f"{'input':8} {'treatment':12} {'infeasible, %':30} {'best value':40} {'over budget':>11}  ask, ms")


def _compare(params: Params, shape: tuple[int, ...], trials: int, seeds: int, value: Value, macs: int | None) -> None:
    found: dict[Treatment, list[Result]] = {treatment: [] for treatment in TREATMENTS}
    # One process per study, because TensorFlow's memory grows with the number of networks.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as process:
        for seed in range(seeds):
            for treatment in TREATMENTS:
                done = process.submit(study, treatment, params, shape, 10, trials, seed, value, macs)
                found[treatment].append(done.result())
    name = "×".join(str(extent) for extent in shape)
    for treatment, results in found.items():
        infeasible = spread([100 * result.infeasible for result in results], 0)
        best = spread([result.best for result in results], 4)
        over = f"{median(result.over_budget for result in results):.0f}"
        asking = 1000 * median(result.ask_seconds for result in results)
        print(f"{name:8} {treatment:12} {infeasible:30} {best:40} {over:>11}  {asking:.0f}", flush=True)
    for other in TREATMENTS[1:]:
        gains = [ours.best - theirs.best for ours, theirs in zip(found["clipping"], found[other], strict=True)]
        wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        print(f"{name:8} clipping minus {other} by seed: {spread(gains, 4)}, {wins} better, {losses} worse", flush=True)


if __name__ == "__main__":
    run_main(main)
