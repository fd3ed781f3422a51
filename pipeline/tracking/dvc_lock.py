"""Read dvc.lock, in which DVC records the parameters, dependencies and outputs of each stage."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.file_content import content_of
from pipeline.params_file import ParamsError, parse_yaml

_MAX_BYTES = 1 << 18  # of a lock file; parsing takes some seconds for as much


def read_text(lock: Path) -> str:
    """Read a lock file; empty if it cannot be read, or is too large."""
    try:
        return content_of(lock, str(lock), "a lock file", _MAX_BYTES).decode("utf-8")
    except (UserError, UnicodeDecodeError):
        return ""


@lru_cache(maxsize=4)
def read_stages(lock: str) -> dict[str, dict[str, Any]]:
    """Parse the stages in the content of dvc.lock. Cached, because parsing takes half a second.

    Returns:
        The entry of each stage by its name: `cmd`, `params`, and `deps` and `outs`, whose items have a path. Parts of
        another form are left out. Empty if the content is empty or damaged.
    """
    stages = read_mappings(lock, ("stages",))
    return {str(name): _stage(entry) for name, entry in stages.items()}


def read_mappings(text: str, keys: tuple[str, ...] = ()) -> dict[Any, dict[Any, Any]]:
    """Parse YAML, follow keys, and return the mapping of mappings found there, without parts of another form.

    Args:
        text: YAML; may be damaged.
        keys: Keys from the root to the mapping.
    """
    try:
        found = parse_yaml(text, "lock file")
    except ParamsError:
        return {}
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return {name: part for name, part in found.items() if isinstance(part, dict)} if isinstance(found, dict) else {}


def _stage(entry: dict[Any, Any]) -> dict[str, Any]:
    listed = {part: entry.get(part) for part in ("deps", "outs")}
    return entry | {
        part: [item for item in items if isinstance(item, dict) and isinstance(item.get("path"), str)]
        if isinstance(items, list)
        else []
        for part, items in listed.items()
    }
