"""The default study on the digits with several seeds: how much better is its winner than the hand-written baseline?

Each study runs in a process of its own, from the start of the process to the end of the report, on splits that are
already prepared. Values are numbers of correctly classified validation images. `mean` is the mean over the trainings
with other seeds, which had no part in the selection. `--startup random` draws the start-up
trials independently, instead of near the best one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean, median

from results import publish
from table import fresh_clone

from pipeline.params_file import read_yaml
from pipeline.terminal.console import run_main
from search.study.results import BASELINE, TrialResult


def main() -> None:
    """Run the studies, and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--startup", choices=("near_best", "random"), default="near_best")
    given = parser.parse_args()
    rows = [_row(seed, given.startup) for seed in given.seeds]
    leads, seconds = ([float(row[column]) for row in rows] for column in (7, 8))
    rows.append(["median", *[""] * 6, f"{median(leads):.1f}", f"{median(seconds):.1f}"])
    columns = [
        "seed", "trials", "images", "baseline", "best trial", "mean of the baseline", "mean of the winner",
        "lead of the winner's mean", "seconds",
    ]  # fmt: skip
    publish("default_study" + ("_random" if given.startup == "random" else ""), columns, rows)


def _row(seed: int, startup: str) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        clone = fresh_clone(Path(folder))
        set_seed(clone / "params.yaml", seed)
        _replace(clone / "params.yaml", "startup: near_best ", f"startup: {startup} ")
        _run(clone, "pipeline.prepare")
        began = time.perf_counter()
        _run(clone, "search")
        seconds = time.perf_counter() - began
        summary = json.loads((clone / "reports/search/summary.json").read_text(encoding="utf-8"))
        results, means = read_results(clone)
    own = {number: result.objective("val_accuracy") for number, result in results.items()}
    images = summary["val_images"]
    lead = max(means.values()) - means[BASELINE]
    accuracies = (own[BASELINE], max(own.values()), means[BASELINE], max(means.values()), lead)
    return [
        str(seed),
        str(summary["trials"]),
        str(images),
        *(f"{images * each:.1f}" for each in accuracies),
        f"{seconds:.1f}",
    ]


def _run(folder: Path, module: str) -> None:
    subprocess.run([sys.executable, "-m", module], cwd=folder, check=True, capture_output=True)


def set_seed(params: Path, seed: int) -> None:
    """Set the seed in a params.yaml."""
    _replace(params, "seed: 1 ", f"seed: {seed} ")
    assert read_yaml(params)["seed"] == seed


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file}: {old!r} is missing"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def read_results(folder: Path) -> tuple[dict[int, TrialResult], dict[int, float]]:
    """Return the complete trials of the study in a repository, and the mean accuracy of each finalist, by number."""
    import optuna

    from search.study.finalists import recorded_finals
    from search.study.prunable import PRUNING
    from search.study.results import read_trial

    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/studies/optuna.db")
    (name,) = [name for name in optuna.get_all_study_names(storage) if not name.startswith(PRUNING)]
    study = optuna.load_study(study_name=name, storage=storage)
    results = [result for trial in study.get_trials(deepcopy=False) if (result := read_trial(trial)) is not None]
    finals = recorded_finals(study)
    return {each.number: each for each in results if each.state == "complete"}, {
        int(key.split()[0]): fmean(e["val_accuracy"] for e in epochs.values()) for key, epochs in finals.items()
    }


if __name__ == "__main__":
    run_main(main)
