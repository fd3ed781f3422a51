"""The side of a run that differs each time: times, throughput, energy, device; kept in logs/, out of DVC."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.files import write_file

Point = tuple[str, int, float, int]  # name, step, value, milliseconds since 1970


def milliseconds() -> int:
    """Now, in milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000


@dataclass
class LocalLog:
    """What is known about one run beside its record.

    Attributes:
        key: The run's key.
        started: Milliseconds since 1970; of the first start, if the run was killed and went on.
        ended: Likewise; None while it runs.
        finished: Whether it came to a good end.
        note: Markdown for the UI that holds today; it takes the place of the record's description.
        surroundings: Tags on commit, data, versions, device.
        times: When each step was logged.
        points: Volatile metrics, such as images per second.
        children: Start and end of the runs within, by key.
    """

    key: str
    started: int | None = None
    ended: int | None = None
    finished: bool = False
    note: str = ""
    surroundings: dict[str, str] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    children: dict[str, tuple[int, int]] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write logs/<key>.json under `root`."""
        write_file(_path(root, self.key), json.dumps(asdict(self), indent=1) + "\n")


def read_local_log(root: Path, key: str) -> LocalLog:
    """The log of a key; an empty one where there is none, as after a run from DVC's cache."""
    try:
        content = json.loads(_path(root, key).read_text(encoding="utf-8"))
        content["points"] = [(name, step, value, at) for name, step, value, at in content["points"]]
        return LocalLog(**content)
    except (OSError, ValueError, TypeError, KeyError):
        return LocalLog(key)


def _path(root: Path, key: str) -> Path:
    return root / "logs" / f"{key}.json"
