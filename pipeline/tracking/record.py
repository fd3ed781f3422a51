"""A run's record: the local truth that MLflow mirrors."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pipeline.digest import digest
from pipeline.errors import UserError
from pipeline.files import write_file

Scalar: TypeAlias = bool | int | float | str | None
Kind: TypeAlias = Literal["study", "trial", "training", "evaluation"]
Status: TypeAlias = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]

# How Optuna's trial states show in MLflow. A pruned trial is no failure; the tag `state` tells it from complete ones.
STATUS_OF_TRIAL: dict[str, Status] = {
    "RUNNING": "RUNNING",
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAIL": "FAILED",
}


@dataclass
class RunRecord:
    """What a run was and gave: nothing in it differs between two machines of one kind.

    Attributes:
        kind: What ran. An evaluation is published on the run of the training that `parent` names.
        key: Digest of the run's inputs; equal keys are the same run.
        name: How the run is called in the UI.
        parent: Key of the run that this one belongs to.
        params: Settings.
        tags: Further facts, as text.
        metrics: `[name, step, value]`, in the order of logging.
        artifacts: Files, relative to the repository's root.
        pages: What a reviewer opens first, by the name at the top of the artifacts: paths, of which the first that
            exists counts.
        texts: Small text artifacts by file name, such as `{"architecture.yaml": "…"}`.
        status: How the run ended, in MLflow's terms.
        reason: Why it ended so; empty for a plain success.
        description: Markdown for the UI.
        dataset: `name`, `digest`, `source` and `contexts`: a list, or a digest for each context.
        children: The runs within, such as a study's trials.
    """

    kind: Kind
    key: str
    name: str
    parent: str | None = None
    params: dict[str, Scalar] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[str, int, float]] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    pages: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    status: Status = "RUNNING"
    reason: str = ""
    description: str = ""
    dataset: dict[str, Any] | None = None
    children: list["RunRecord"] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name the content, the children's apart."""
        content = _plain(self)
        del content["children"]
        return digest(content)


def write_record(record: RunRecord, path: Path) -> None:
    """Write a record as JSON; equal records give equal bytes."""
    write_file(path, json.dumps(_plain(record), indent=2, allow_nan=False) + "\n")


def read_record(path: Path) -> RunRecord:
    """The record in a file.

    Raises:
        UserError: the file is missing, or is no record.
    """
    try:
        return _record(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that writes it, with dvc repro") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: must be a run's record, got {error!r}; run its stage again") from None


def _plain(record: RunRecord) -> dict[str, Any]:
    content = asdict(record)
    for part in _with_descendants(content):
        part["metrics"] = [[name, int(step), _number(value)] for name, step, value in part["metrics"]]
        part["params"] = {name: _scalar(value) for name, value in part["params"].items()}
    return content


def _with_descendants(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [content, *(part for child in content["children"] for part in _with_descendants(child))]


def _number(value: float) -> float | str:
    """JSON has neither NaN nor infinity; they are kept as text, which float() reads back."""
    return float(value) if math.isfinite(value) else str(float(value))


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)


def _record(content: dict[str, Any]) -> RunRecord:
    children = [_record(child) for child in content.get("children", ())]
    metrics = [(str(name), int(step), float(value)) for name, step, value in content.get("metrics", ())]
    return RunRecord(**{**content, "children": children, "metrics": metrics})
