"""Names of metrics in MLflow, in the form `group/name`. The UI shows each group as a section of charts."""

from pipeline.sections.renamed_metrics import METRICS as RENAMED
from pipeline.tracking.record import Kind

_COST = frozenset({
    "params", "trainable_params", "macs", "activation_bytes", "receptive_field", "file_bytes", "energy_wh",
    "peak_memory_mb", "latency_ms",
})  # fmt: skip
# Prefixes of the names of an evaluation's metrics, by group; the first group that matches is used.
_EVALUATION = {
    "calibration": ("expected_calibration_error", "log_loss", "brier_score"),
    "comparison": ("baseline_", "champion_", "other_"),
    "cost": ("latency_", "images_per_second"),
    "interpretation": ("pixel_permutation_", "silhouette"),
    "ood": ("auroc_", "ood_"),
}
_BOUNDS = ("accuracy_low", "accuracy_high")


def metric_name(kind: Kind, name: str) -> str:
    """Return the name in MLflow of a record's metric.

    The groups are `train`, `val`, `best` and `rung` for training runs and trials, `best` and `study` for studies,
    `test`, `calibration`, `robustness`, `comparison`, `ood` and `interpretation` for evaluations, and `cost` for all of
    them. A name with a slash, such as MLflow's own `system/…`, is returned unchanged.

    Args:
        kind: Kind of the record.
        name: Name of the metric in the record. Records of older versions may contain former names; their evaluations
            use the prefix `test_`.
    """
    if "/" in name:
        return name
    if kind == "evaluation":
        name = name.removeprefix("test_")
    name = RENAMED.get(name, name)
    if kind == "evaluation":
        return _of_evaluation(name)
    if name in _COST:
        return f"cost/{name}"
    group, _, rest = name.partition("_")
    if name == "best_so_far" or (kind == "study" and group != "best"):
        return f"study/{name}"
    return f"{group}/{rest}" if rest and group in ("best", "val", "rung") else f"train/{name}"


def _of_evaluation(name: str) -> str:
    if name == "energy_wh":  # the same run also has the energy of the training
        return "cost/evaluation_energy_wh"
    if name in _COST:
        return f"cost/{name}"
    if name.startswith("robustness"):
        return f"robustness/overall{name.removeprefix('robustness')}"
    if name.startswith("accuracy_") and name not in _BOUNDS:
        return f"robustness/{name.removeprefix('accuracy_')}"
    group = next((group for group, begins in _EVALUATION.items() if name.startswith(begins)), "test")
    return f"{group}/{name.removeprefix('ood_')}"
