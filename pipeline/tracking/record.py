"""Records of runs. They are files of the repository, from which the runs in MLflow are published."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict

from pipeline.digest import digest, file_sha256
from pipeline.errors import UserError
from pipeline.file_content import read_json
from pipeline.files import write_file

Scalar: TypeAlias = bool | int | float | str | None
Kind: TypeAlias = Literal["study", "trial", "training", "evaluation"]
MODEL_SHA256 = "model_sha256"  # tag with the digest of the network's file
Status: TypeAlias = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]

# MLflow's status for each of Optuna's trial states. Pruned trials are not failures; the tag `state` distinguishes them
# from complete ones.
STATUS_OF_TRIAL: dict[str, Status] = {
    "RUNNING": "RUNNING",
    "COMPLETE": "FINISHED",
    "PRUNED": "FINISHED",
    "FAIL": "FAILED",
}


@dataclass
class RunRecord:
    """Inputs and results of a run. The content is identical on all machines of the same kind.

    Attributes:
        kind: Kind of the run. An evaluation is published to the run of the training whose key is `parent`.
        key: Digest of the run's inputs; records with equal keys belong to the same run.
        name: Name of the run in the UI.
        parent: Key of the parent run.
        params: Settings, by name.
        tags: Further information as text, by name.
        metrics: `[name, step, value]`, in the order of logging.
        artifacts: Paths of files, relative to the repository's root.
        pages: Pages for reviewers: candidate files by the name at the top level of the artifacts; the first file that
            exists is published.
        texts: Small text artifacts by file name, such as `{"architecture.yaml": "…"}`.
        status: Status of the run in MLflow.
        reason: Reason for the status; empty for a normal end.
        description: Description for the UI in Markdown.
        dataset: `name`, `digest`, `source` and `contexts`: a list, or a digest for each context.
        children: Child runs, such as a study's trials.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=True)

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
        """Digest of the content without the children, 16 hexadecimal digits."""
        content = _plain(self)
        del content["children"]
        return digest(content)


def write_record(record: RunRecord, path: Path) -> None:
    """Write a record as JSON; equal records result in equal bytes."""
    write_file(path, json.dumps(_plain(record), indent=2, allow_nan=False) + "\n")


def read_record(path: Path) -> RunRecord:
    """Read a record from a file.

    Raises:
        UserError: The file is missing, or is not a record.
    """
    return read_json(path, "the record of a run", "rerun the stage that writes it with `dvc repro --force`", RunRecord)


def require_model_of(record: RunRecord, path: Path) -> None:
    """Reject a network's file that is not the one of the run. Records of older versions name no file.

    Raises:
        UserError: The file is missing, or has another content.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `dvc repro`")
    if record.tags.get(MODEL_SHA256, found := file_sha256(path)) != found:
        raise UserError(
            f"{path}: must be the network of the {record.kind} {record.name!r}, got a file that has changed since; "
            "run `dvc repro --force train`"
        )


def _plain(record: RunRecord) -> dict[str, Any]:
    content = asdict(record)
    for part in _with_descendants(content):
        part["metrics"] = [[name, int(step), _number(value)] for name, step, value in part["metrics"]]
        part["params"] = {name: _scalar(value) for name, value in part["params"].items()}
    return content


def _with_descendants(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [content, *(part for child in content["children"] for part in _with_descendants(child))]


def _number(value: float) -> float | str:
    """Convert NaN and infinity, which JSON does not support, to text that float() can read."""
    return float(value) if math.isfinite(value) else str(float(value))


def _scalar(value: object) -> Scalar:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)
