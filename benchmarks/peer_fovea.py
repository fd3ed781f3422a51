"""Fovea as a competitor in benchmarks/peers.py: the stage search with its own params.yaml."""

from functools import partial
from pathlib import Path
from typing import Any

from peer_data import ROOT, write_prepared
from peer_runs import (
    ENDLESS,
    FACTOR,
    FILTERS,
    HEADS,
    KERNELS,
    MAX_BLOCKS,
    MAX_CONVS,
    MAX_DROPOUT,
    MAX_RATE,
    MAX_UNITS,
    MIN_RATE,
    MIN_UNITS,
    POOLINGS,
    WINDOWS,
    Run,
    until_time_is_up,
)

from pipeline.params_file import validate
from pipeline.sections import Params
from pipeline.sections.load import load_params

# The rungs of 4, 12 and 27 epochs use 4/27, 12/27 and all of the images. Trial 0 is always a hand-written network; here
# it is a plain network from the middle of the space.
EPOCHS = 27
# The settings that docs/studies.md recommends for a short study on one machine, and variants of them.
FOVEA = "Fovea"
_SHORT = {"concurrency": 1, "pruner": "successive_halving", "min_epochs": 3}
_AUTO = {"precision": "auto"}
VARIANTS: dict[str, dict[str, Any]] = {
    FOVEA: {"search": _SHORT, "training": _AUTO},
    "Fovea, float32": {"search": _SHORT},
    "Fovea, rungs from one epoch": {"search": _SHORT | {"min_epochs": 1, "min_steps": 0}, "training": _AUTO},
    "Fovea, default pruner": {"search": _SHORT | {"pruner": "hyperband"}, "training": _AUTO},
    "Fovea, 4 at a time": {"search": _SHORT | {"concurrency": 4}, "training": _AUTO},
}
BASELINE = {"filters": 16, "kernel_size": 3, "pooling": "max", "pool_size": 2}


def fovea(run: Run) -> None:
    """Run the stage search with its own params.yaml, and log each epoch when it ends, as the peers do."""
    import optuna

    from pipeline.backend import runtime
    from search import stage
    from search.engine.inline import InlineEngine
    from search.paths import Paths
    from search.study.job import RungResult
    from search.study.results import read_trial

    wait = InlineEngine.wait

    def wait_and_log(self: InlineEngine, number: int | None) -> tuple[int, RungResult]:
        runtime.start_backend()
        from pipeline.training import fit as training

        def log(metrics: Any, *_: object) -> None:
            run.epoch(number or 0, metrics.epoch, metrics.val_accuracy)

        fit: Any = training.fit
        training.fit = partial(fit, on_epoch=log)  # type: ignore[assignment]
        try:
            return wait(self, number)
        finally:
            training.fit = fit

    InlineEngine.wait = wait_and_log  # type: ignore[method-assign]
    here = Path.cwd()
    with until_time_is_up(run.seconds_left):
        write_prepared(run.data(), here / "prepared")
        params = fovea_params(run)
        names = ("prepared", "studies", "architecture.yaml", "baseline.yaml", "reports")
        stage.run(params, Paths(*(here / name for name in names)))
    storage = optuna.storages.RDBStorage(params.search.storage)
    study = optuna.load_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    results = [result for trial in study.get_trials(deepcopy=False) if (result := read_trial(trial)) is not None]
    run.write(
        trials=sum(result.state in ("complete", "pruned") for result in results),
        networks=sum(bool(result.history) for result in results),
        failed=sum(result.state == "failed" for result in results),
    )


def fovea_params(run: Run) -> Params:
    """Return the settings of Fovea, with the space of all competitors."""
    params = load_params(ROOT / "params.yaml").model_dump(mode="json", by_alias=True)
    space = {
        "blocks": {"low": 1, "high": MAX_BLOCKS}, "filters": FILTERS, "filter_growth": 2,
        "convs": {"low": 1, "high": MAX_CONVS}, "kernel_size": KERNELS, "pooling": POOLINGS, "pool_size": WINDOWS,
        "dropout": {"low": 0.0, "high": MAX_DROPOUT}, "head": HEADS,
        "dense_units": {"low": MIN_UNITS, "high": MAX_UNITS, "log": True},
        "learning_rate": {"low": MIN_RATE, "high": MAX_RATE, "log": True},
    }  # fmt: skip
    content = params | {
        "seed": run.seed,
        "model": {
            "blocks": [BASELINE, BASELINE | {"filters": 32}],
            "head": {"kind": "flatten", "dense": [64]},
        },
        "training": params["training"] | {
            "batch_size": run.batch_size, "learning_rate": 0.001, **VARIANTS[run.variant].get("training", {}),
            "threads": run.threads,
            # `fovea init` recommends it for these images, from a test on training images.
            "augmentation": params["training"]["augmentation"] | {"flip": "horizontal"},
        },
        "search": params["search"] | {
            "trials": ENDLESS, "epochs": EPOCHS, "min_epochs": 1, "reduction_factor": FACTOR,
            "fidelity": "both",
            "cost_aware": True, "engine": "inline", "workers": 1,
            "finalists": {"count": 0, "seeds": 1, "cross_validation": False},
            "startup": "random", "budget": dict.fromkeys(params["search"]["budget"]), "space": space,
            "storage": f"sqlite:///{Path.cwd()}/optuna.db",
            **VARIANTS[run.variant].get("search", {}),
        },
    }  # fmt: skip
    return validate(Params, content, "peers.py")
