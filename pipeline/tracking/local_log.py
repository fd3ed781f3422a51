"""Data of a run that differs between repetitions, such as times, throughput and energy; in logs/, not in DVC."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import UserError
from pipeline.file_content import read_json
from pipeline.files import write_file
from pipeline.tracking.record import Key

Point = tuple[str, int, float, int]  # name, step, value, milliseconds since 1970


def milliseconds() -> int:
    """Return the current time in milliseconds since 1970, the unit of MLflow."""
    return time.time_ns() // 1_000_000


@dataclass
class LocalLog:
    """Data of a run that is not in its record because it differs between repetitions.

    Attributes:
        key: Key of the run.
        started: Start time in milliseconds since 1970; the first start if the run was killed and resumed.
        ended: End time in milliseconds since 1970; None while the run is in progress.
        finished: Whether the run ended with the status FINISHED.
        process: Machine, ID and start time of the process that started the run.
        note: Description for the UI in Markdown that replaces the record's description; empty: none.
        environment_tags: Tags that describe commit, data, versions and device.
        times: Time of logging of each step, in milliseconds since 1970.
        points: Volatile metrics, such as images per second.
        children: Start and end times of the child runs, by key.
    """

    key: Key
    started: int | None = None
    ended: int | None = None
    finished: bool = False
    process: str = ""
    note: str = ""
    environment_tags: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    children: dict[str, tuple[int, int]] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write logs/<key>.json under `root`."""
        write_file(_path(root, self.key), json.dumps(asdict(self), indent=1) + "\n")


def read_local_log(root: Path, key: str) -> LocalLog:
    """Read the log of a key; empty if there is none, for example after DVC restored a stage from its cache."""
    path = _path(root, key)
    try:
        content = read_json(path, "the log of a run", "remove it", dict[str, Any])
        if "surroundings" in content:  # written by an older version
            content["environment_tags"] = content.pop("surroundings")
        log = TypeAdapter(LocalLog).validate_python(content)
        return log if log.key == key else LocalLog(key)
    except (UserError, ValidationError):
        return LocalLog(key)


def _path(root: Path, key: str) -> Path:
    return root / "logs" / f"{key}.json"
