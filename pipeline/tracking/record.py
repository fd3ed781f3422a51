"""Records of runs. They are files of the repository, from which the runs in MLflow are published."""

import json
import math
import posixpath
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic requires it for Python 3.11

from pipeline.digest import digest, file_sha256
from pipeline.errors import UserError
from pipeline.file_content import read_json
from pipeline.files import write_file

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
_MAX_NAME = 200  # characters; MLflow's limit is 250, and its names of metrics are longer than those of records
_NAME = re.compile(r"[/\w.\- :]+")
# Files of DVC's cache, to which links lead if its setting `cache.type` is `symlink`.
_CACHED = re.compile(r".*/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


def _require_text(value: str) -> str:
    value.encode()  # raises a ValueError for halves of surrogate pairs
    if "\0" in value:
        raise ValueError("must not contain a zero character")
    return value


def _require_path(value: str) -> str:
    if posixpath.normpath(_require_text(value)) != value or value.startswith(("/", "..")) or value == ".":
        raise ValueError(f"must be a relative path without '..', got {value[:100]!r}")
    return value


def _require_name(value: str) -> str:
    if not _NAME.fullmatch(_require_path(value)) or len(value) > _MAX_NAME:
        raise ValueError(
            f"must be a name of at most {_MAX_NAME} letters, digits, spaces, or characters of '_-./:', "
            f"got {value[:100]!r}"
        )
    return value


def _require_childless(children: "list[RunRecord]") -> "list[RunRecord]":
    if any(child.children for child in children):
        raise ValueError("must not have children of their own")
    return children


Text = Annotated[str, AfterValidator(_require_text)]
FileName = Annotated[str, AfterValidator(_require_path)]  # among the artifacts
Name = Annotated[str, AfterValidator(_require_name)]  # of a param, tag or metric, as MLflow accepts it
Scalar: TypeAlias = bool | int | float | Text | None
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Step = Annotated[int, Field(ge=-(2**63), lt=2**63)]


@with_config(ConfigDict(extra="forbid"))
class RecordedDataset(TypedDict):
    """Dataset of a run.

    Attributes:
        name: Name of the dataset.
        digest: Digest of its content.
        source: Where it is from; its name if it is missing.
        contexts: What it was used for, such as `train`: a list, or a digest for each context.
    """

    name: Annotated[Text, Field(max_length=500)]
    digest: Text
    source: NotRequired[Annotated[Text, Field(max_length=10_000)]]
    contexts: NotRequired[list[Annotated[Text, Field(max_length=100)]] | dict[Name, Text]]


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
        dataset: Data of the run.
        children: Child runs, such as a study's trials.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=True)

    kind: Kind
    key: Key
    name: Text
    parent: Key | None = None
    params: dict[Name, Scalar] = field(default_factory=dict)
    tags: dict[Name, Text] = field(default_factory=dict)
    metrics: list[tuple[Name, Step, float]] = field(default_factory=list)
    artifacts: list[Text] = field(default_factory=list)
    pages: dict[FileName, list[Text]] = field(default_factory=dict)
    texts: dict[FileName, Text] = field(default_factory=dict)
    status: Status = "RUNNING"
    reason: Text = ""
    description: Text = ""
    dataset: RecordedDataset | None = None
    children: Annotated[list["RunRecord"], AfterValidator(_require_childless)] = field(default_factory=list)

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


def require_files_inside(record: RunRecord, root: Path) -> None:
    """Reject a record with files outside the repository, which anybody who changes the record could have published.

    Raises:
        UserError: A path leads out of the repository, perhaps by a link. Links to DVC's cache are accepted.
    """
    folder = root.resolve()
    for path in (*record.artifacts, *(path for paths in record.pages.values() for path in paths)):
        found = (folder / path).resolve()
        if not (found.is_relative_to(folder) or ((folder / path).is_symlink() and _CACHED.fullmatch(str(found)))):
            raise UserError(
                f"the files of the {record.kind} {record.name[:100]!r} must be in the project, got {path[:200]!r}; "
                "replace a link by the file, or rerun the stage that writes the record with `dvc repro --force`"
            )


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
