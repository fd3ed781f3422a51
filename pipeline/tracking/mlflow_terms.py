"""What the parts of a record are in MLflow: names of metrics, tags, descriptions, datasets."""

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.sections.renamed_metrics import METRICS as RENAMED
from pipeline.tracking.record import Kind, RunRecord

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

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
_CONTEXTS = {"train": "training", "val": "validation"}  # MLflow's names of the splits
_NOTE = "mlflow.note.content"
# Tags with the parts of a run's description, in the order in which the UI shows them.
_NOTES = ("fovea.note.evaluation", "fovea.note")


def metric_name(kind: Kind, name: str) -> str:
    """Return the name in MLflow of a record's metric, in the form `group/name`.

    The UI shows each group as a section of charts. The groups are `train`, `val`, `best` and `rung` for training runs
    and trials, `best` and `study` for studies, `test`, `calibration`, `robustness`, `comparison`, `ood` and
    `interpretation` for evaluations, and `cost` for all of them. A name with a slash, such as MLflow's own `system/…`,
    is returned unchanged.

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


def tags_of(record: RunRecord) -> dict[str, str]:
    """Return the tags of a record, and the reason for its status."""
    return record.tags | ({"reason": record.reason} if record.reason else {})


def description_tags(record: RunRecord, note: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the tags with the description of a run: the part of each record, and both parts joined for the UI.

    Args:
        record: Record of the training or of its evaluation.
        note: Description that replaces that of the record; empty: none.
        known: Tags that the run already has.
    """
    description = note or record.description
    if record.kind not in ("training", "evaluation"):
        return {_NOTE: description} if description else {}
    own = _NOTES[0] if record.kind == "evaluation" else _NOTES[1]
    earlier = {name: known[name] for name in _NOTES if name in known}
    if own == _NOTES[0] and not earlier and _NOTE in known:  # an older version published the run
        earlier[_NOTES[1]] = known[_NOTE]
    parts = earlier | ({own: description} if description else {})
    whole = "\n\n".join(parts[name] for name in _NOTES if name in parts)
    return parts | ({_NOTE: whole} if whole else {})


def dataset_inputs(dataset: Mapping[str, Any] | None, known: Collection[str]) -> "list[DatasetInput]":
    """Return the inputs of a run: one for each context of its dataset.

    Args:
        dataset: Dataset of the record; None: it has none.
        known: Digests of the datasets that the run already has, which are left out.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if dataset is None:
        return []
    contexts = dataset.get("contexts") or ["training"]
    by_context = contexts if isinstance(contexts, dict) else {", ".join(contexts): dataset["digest"]}
    source = json.dumps({"uri": str(dataset.get("source", dataset["name"]))})
    return [
        DatasetInput(
            Dataset(str(dataset["name"]), str(value)[:16], "local", source),
            [InputTag("mlflow.data.context", _CONTEXTS.get(context, context))],
        )
        for context, value in by_context.items()
        if str(value)[:16] not in known
    ]
