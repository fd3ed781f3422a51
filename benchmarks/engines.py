"""Throughput of several workers, overhead per trial, and memory growth of the engines. `--parts` selects the tables.

throughput: Finished rungs per minute of one small study (a subset of Fashion-MNIST, the space and the pruner of
    params.yaml, rungs of 1 and 3 epochs) on one process with one thread, on one with two threads, on two with one
    thread, with and without `search.synchronous`; on two Ray workers, and on two Ray nodes on this machine with one
    processor each. The stage search runs unmodified. The clock starts when the first rung is submitted and stops when
    the last result is received. Each worker has finished one job by then, so the time excludes the start of the workers
    and the import of TensorFlow, but includes driver, storage and MLflow. Ratios compare the consecutive runs of one
    repeat.
cost: Seconds between the ends of consecutive trials of a study that runs through `search.stage.run`, with one candidate
    at a time, 16 training and 16 validation images of 28×28, and no pruning. The time includes ask, geometry, storage,
    sending the job, building and tracing the network, the training steps (one per epoch with 16 images), serializing
    and storing the state, report, tell, MLflow and terminal output. It excludes one-time work: start-up, imports, the
    first five trials and the report. Each row is the median over runs with different seeds of the median over the
    trials of a run. A later rung of a trial reuses the network and the compiled graphs if the same
    process trains it.
profile: Where the time of such a trial goes in the process that trains it, for a new candidate each time.
memory: Resident memory of the training process after trials 5 and 300, and after the last of many consecutive trials.
    Each trial is one epoch of a different candidate from the space of params.yaml. Measured in one process that is
    never replaced, and in a process of `engine: processes`, which is replaced if its memory has grown too much.

Each measurement runs in a separate process. The rows with Ray need ray.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from peer_data import FOLDER, ROOT, fashion, write_prepared
from results import publish
from table import machine, run_script, spread

from pipeline.data.training_data import TrainingData
from pipeline.sections import Params
from pipeline.sections.load import load_params
from pipeline.terminal.console import run_main
from search.study.job import Job, RungResult, train_rung

if TYPE_CHECKING:
    import optuna

# Settings of `throughput`; nodes: number of nodes of a separate cluster (0: none).
ONE, PAIR = "one worker", "one worker, two threads"
CASES: dict[str, dict[str, Any]] = {
    ONE: {},
    PAIR: {"threads": 2},
    "two workers": {"workers": 2},
    "two workers, two threads": {"workers": 2, "threads": 2},
    "two workers, not synchronous": {"workers": 2, "synchronous": False},
    "two Ray workers": {"workers": 2, "engine": "ray"},
    "two Ray nodes": {"workers": 2, "engine": "ray", "nodes": 2},
}
COSTS = {
    "inline, one rung": {"engine": "inline", "epochs": 1},
    "inline, three rungs": {"engine": "inline", "epochs": 9},
    "processes, one rung": {"engine": "processes", "epochs": 1},
    "processes, three rungs": {"engine": "processes", "epochs": 9},
    "ray, one rung": {"engine": "ray", "epochs": 1},
}
PLATEAU = 300  # trial after which a process hardly grew any more when this was written
WARM_TRIALS = 5  # excluded from the costs; memory is first read after these trials


def throughput(
    trials: int,
    train: int,
    engine: str = "processes",
    workers: int = 1,
    threads: int = 1,
    nodes: int = 0,
    synchronous: bool = True,
    **given: Any,
) -> dict[str, Any]:
    """Return the number of finished and failed rungs, and the seconds that they took."""
    from search.engine.process_engine import ProcessEngine
    from search.engine.ray_engine import RayEngine

    used: Any = RayEngine if engine == "ray" else ProcessEngine
    data = fashion(Path(given["folder"]), train, 1000)
    settings = {"trials": trials, "synchronous": synchronous, "engine": engine, "workers": workers}
    params = _params(given["seed"], threads=threads, epochs=3, **settings)
    cluster, started, ended, failed = None, list[float](), list[float](), list[float]()
    start, submit, wait = used.__init__, used.submit, used.wait

    def warm(self: Any, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        job = next(_jobs(params, data))
        for number in range(workers):
            submit(self, -1 - number, job)
        for number in range(workers):
            wait(self, -1 - number)

    def submitted(self: Any, number: int, job: Job) -> None:
        started.append(time.perf_counter())
        submit(self, number, job)

    def waited(self: Any, number: int | None) -> tuple[int, RungResult]:
        found = wait(self, number)
        (ended if found[1].history else failed).append(time.perf_counter())
        return found

    used.__init__, used.submit, used.wait = warm, submitted, waited
    if nodes:
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=1)
        ray = params.search.ray.model_copy(update={"address": cluster.address})
        params = params.model_copy(update={"search": params.search.model_copy(update={"ray": ray})})
    try:
        with tempfile.TemporaryDirectory() as folder:
            _search(params, data, Path(folder))
    finally:
        if cluster is not None:
            cluster.shutdown()
    return {"rungs": len(ended), "failed": len(failed), "seconds": ended[-1] - started[0]}


def cost(engine: str, epochs: int, trials: int, **given: Any) -> dict[str, Any]:
    """Return the seconds of each trial."""
    from search.study.results import read_trial

    params = _params(
        given["seed"], unlimited=True, epochs=epochs, trials=trials, engine=engine, concurrency=1, pruner="none"
    )
    with tempfile.TemporaryDirectory() as folder:
        study = _search(params, fashion(Path(given["folder"]), 16, 16), Path(folder))
        results = [result for trial in study.get_trials(deepcopy=False) if (result := read_trial(trial))]
    pairs = pairwise(results[WARM_TRIALS - 1 :])
    return {"seconds": [(two.ended or 0) - (one.ended or 0) for one, two in pairs if two.state == "complete"]}


STEPS = {
    "geometry and digest of the training run": ("pipeline.training.fit", "training_key"),
    "whitening filters": ("pipeline.training.fit", "whitening_filters"),
    "tracing the two graphs": ("pipeline.trainers.steps_tensorflow", "_traced"),
    "initial weights": ("pipeline.trainers.trainer_steps", "initial_weights"),
    "first training step": ("pipeline.trainers.trainer_steps", "StepTrainer.train"),
    "first evaluation step": ("pipeline.trainers.trainer_steps", "StepTrainer.evaluate"),
    "packing the state": ("pipeline.training.fit", "pack"),
}


def profile(trials: int, **given: Any) -> dict[str, Any]:
    """Return the milliseconds of each step of the trials, and of the whole trials."""
    from pipeline.backend.runtime import start_backend

    start_backend()
    data, params = fashion(Path(given["folder"]), 16, 16), _params(epochs=1, trials=1, seed=given["seed"])
    spent = dict.fromkeys(STEPS, 0.0)
    for step, (module, name) in STEPS.items():
        *owner, function = name.split(".")
        place: Any = import_module(module)
        for part in owner:
            place = getattr(place, part)
        setattr(place, function, _timed(getattr(place, function), step, spent))
    jobs, found = _jobs(params, data), []
    for _ in range(WARM_TRIALS + trials):
        spent.update(dict.fromkeys(spent, 0.0))
        began = time.perf_counter()
        train_rung(next(jobs), data)
        whole = time.perf_counter() - began
        found.append({**spent, "all other work": whole - sum(spent.values()), "all": whole})
    return {"steps": [{step: 1000 * seconds for step, seconds in each.items()} for each in found[WARM_TRIALS:]]}


def _timed(function: Any, step: str, spent: dict[str, float]) -> Any:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[step] += time.perf_counter() - began

    return timed


def memory(engine: str, trials: int, train: int, **given: Any) -> dict[str, Any]:
    """Return the process ID and its resident bytes after each trial."""
    data, params = fashion(Path(given["folder"]), train, 500), _params(epochs=1, trials=1, seed=given["seed"])
    jobs = _jobs(params, data)
    if engine == "inline":
        measured = [_train_and_weigh(next(jobs), data).detail for _ in range(trials)]
    else:
        from search.engine.process_engine import ProcessEngine

        with closing(ProcessEngine(data, 1, work=_train_and_weigh)) as workers:
            measured = [_result(workers, number, next(jobs)).detail for number in range(trials)]
    return {"after": [[int(part) for part in line.split()] for line in measured]}


def _result(engine: Any, number: int, job: Job) -> RungResult:
    engine.submit(number, job)
    result: RungResult = engine.wait(number)[1]
    return result


def _train_and_weigh(job: Job, data: TrainingData) -> RungResult:
    import psutil

    outcome = train_rung(job, data)
    return replace(outcome, detail=f"{os.getpid()} {psutil.Process().memory_info().rss}")


def _jobs(params: Params, data: TrainingData) -> Iterator[Job]:
    """Yield jobs of one epoch for random candidates that fit the budget of params.yaml."""
    from search.estimate.precheck import RandomDraws
    from search.space.draw import propose
    from search.space.feasibility import check_feasibility

    draws, dataset = RandomDraws(params.seed), data.dataset
    budget = load_params(ROOT / "params.yaml").search.budget
    training = params.training.model_copy(update={"epochs": 1, "patience": None})
    number = 0
    while True:
        candidate = propose(draws, params.search.space, params.model, dataset.input_shape, len(dataset.classes))
        if not check_feasibility(candidate, budget).violations:
            yield Job(candidate.architecture, candidate.overlay(training), number, (1.0,), 1, None)
            number += 1


def _search(params: Params, data: TrainingData, folder: Path) -> "optuna.Study":
    """Run the stage search in a folder and return its study."""
    import optuna

    from search import stage
    from search.paths import Paths

    os.chdir(folder)
    write_prepared(data, folder / "prepared")
    address = f"sqlite:///{folder}/optuna.db"
    paths = Paths(
        folder / "prepared",
        folder / "studies",
        folder / "architecture.yaml",
        folder / "baseline.yaml",
        folder / "reports",
    )
    stage.run(params.model_copy(update={"search": params.search.model_copy(update={"storage": address})}), paths)
    storage = optuna.storages.RDBStorage(address)
    return optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)


def _params(seed: int, unlimited: bool = False, threads: int = 1, **settings: Any) -> Params:
    """Load params.yaml with the given settings of `search`.

    Args:
        seed: The seed.
        unlimited: Whether to remove all limits of `search.budget`.
        threads: Threads per training.
        **settings: Keys of `search` and their values.
    """
    params = load_params(ROOT / "params.yaml")
    budget = params.search.budget
    if unlimited:
        budget = budget.model_copy(update=dict.fromkeys(type(budget).model_fields))
    none = params.search.finalists.model_copy(update={"count": 0})
    ray = params.search.ray.model_copy(update={"cpus": float(threads)})
    fixed = {"budget": budget, "min_epochs": 1, "min_steps": 0, "fidelity": "epochs", "finalists": none, "ray": ray}
    search = params.search.model_copy(update=fixed | settings)
    training = params.training.model_copy(update={"threads": threads})
    return params.model_copy(update={"seed": seed, "search": search, "training": training})


def main() -> None:
    """Print the tables."""
    arguments = _parse()
    if arguments.measure:
        given = json.loads(arguments.measure)
        parts = {"throughput": throughput, "cost": cost, "profile": profile, "memory": memory}
        measured = parts[given.pop("part")](**given)
        print("\n" + json.dumps(measured))
        return
    if arguments.quick:
        arguments.repeats, arguments.trials, arguments.train = 1, 3, 1000
        arguments.cost_trials, arguments.memory_trials = 8, 8
    print(machine())
    for part in arguments.parts:
        {"throughput": _print_throughput, "cost": _print_cost, "profile": _print_profile, "memory": _print_memory}[
            part
        ](arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("throughput", "cost", "profile", "memory")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of the Fashion-MNIST IDX files")
    parser.add_argument("--repeats", type=int, default=5, help="runs of throughput and cost, seeds from --seed")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="rows of the throughput table")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, default=20, help="trials of the throughput study")
    parser.add_argument("--train", type=int, default=10_000, help="training images of the throughput study")
    parser.add_argument("--cost-trials", type=int, default=40, help="trials of the cost study; first five excluded")
    parser.add_argument("--memory-trials", type=int, default=1000)
    parser.add_argument("--memory-train", type=int, default=300, help="training images per trial")
    parser.add_argument("--quick", action="store_true", help="smoke test of about two minutes")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory_trials < WARM_TRIALS:
        parser.error(f"--memory-trials: must be at least {WARM_TRIALS}, got {given.memory_trials}")
    return given


def _measure(part: str, arguments: argparse.Namespace, **given: Any) -> dict[str, Any]:
    """Run a measurement in a separate process."""
    content = json.dumps({"part": part, "folder": str(arguments.folder.resolve()), **given})
    measured: dict[str, Any] = run_script(__file__, "--measure", content, MLFLOW_TRACKING_URI="sqlite:///mlflow.db")
    return measured


def _print_throughput(arguments: argparse.Namespace) -> None:
    cases = {case: settings for case, settings in CASES.items() if case in (ONE, PAIR, *arguments.cases)}
    rates: dict[str, list[float]] = {case: [] for case in cases}
    for repeat in range(arguments.repeats):
        order = list(cases.items())
        for case, settings in order if repeat % 2 == 0 else order[::-1]:
            done = _measure(
                "throughput", arguments, trials=arguments.trials, train=arguments.train, seed=arguments.seed + repeat,
                **settings,
            )  # fmt: skip
            rates[case].append(60 * done["rungs"] / done["seconds"])
            failed = f", {done['failed']} failed" if done["failed"] else ""
            print(f"{case}: {rates[case][-1]:.1f} rungs per minute, {done['rungs']} rungs{failed}", flush=True)
    rows = []
    for case, values in rates.items():
        ratios = [[value / one for value, one in zip(values, rates[base], strict=True)] for base in (ONE, PAIR)]
        rows.append([case, spread(values, 1), *map(spread, ratios)])
    if not arguments.quick:
        publish("throughput", ["", "rungs per minute", f"ratio to {ONE}", f"ratio to {PAIR}"], rows)


def _print_cost(arguments: argparse.Namespace) -> None:
    cases = list(COSTS.items())[:: len(COSTS) - 1 if arguments.quick else 1]
    medians: dict[str, list[float]] = {name: [] for name, _ in cases}
    for repeat in range(arguments.repeats):
        for name, given in cases if repeat % 2 == 0 else cases[::-1]:
            seed = arguments.seed + repeat
            seconds = _measure("cost", arguments, trials=arguments.cost_trials, seed=seed, **given)["seconds"]
            medians[name].append(median(seconds))
            print(f"{name:25} {spread(seconds)}", flush=True)
    rows = []
    for name, values in medians.items():
        engine, rungs = name.split(", ")
        one = medians[f"{engine}, one rung"]
        further = [(more - first) / 2 for more, first in zip(values, one, strict=True)]
        rows.append([name, spread(values), spread(further, 3) if rungs == "three rungs" else ""])
    if not arguments.quick:
        publish("trial_cost", ["", "overhead per trial, seconds", "each further rung"], rows)


def _print_profile(arguments: argparse.Namespace) -> None:
    steps = _measure("profile", arguments, trials=arguments.cost_trials, seed=arguments.seed)["steps"]
    rows = [[step, spread([each[step] for each in steps], 1)] for step in steps[0]]
    if arguments.quick:
        print(rows)
    else:
        publish("trial_profile", ["", "milliseconds"], rows)


def _print_memory(arguments: argparse.Namespace) -> None:
    marks = (WARM_TRIALS, min(PLATEAU, arguments.memory_trials), arguments.memory_trials)
    rows = []
    for engine in ("inline", "processes"):
        after = _measure(
            "memory", arguments, engine=engine, trials=arguments.memory_trials, train=arguments.memory_train,
            seed=arguments.seed,
        )["after"]  # fmt: skip
        first, middle, last = (after[number - 1][1] / 2**20 for number in marks)
        replaced = sum(one[0] != two[0] for one, two in pairwise(after))
        levels = (f"{level:,.0f}" for level in (first, middle, last))
        later = "" if replaced else f"{last / middle:.2f}"  # another process
        most = max(entry[1] for entry in after) / 2**20
        rows.append([engine, *levels, f"{last / first:.2f}", later, f"{most:,.0f}", str(replaced)])
    columns = [
        "worker", *(f"MiB after trial {mark}" for mark in marks), *(f"last to trial {mark}" for mark in marks[:2]),
        "peak", "times replaced",
    ]  # fmt: skip
    if not arguments.quick:
        publish("memory", columns, rows)


if __name__ == "__main__":
    run_main(main)
