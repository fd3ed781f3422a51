"""The record of the decision about a version, in a tag of the version."""

import json
from pathlib import Path
from typing import Any

from pipeline.registry.split_usage import count_decisions
from pipeline.registry.versions import Registry, Version
from pipeline.sections.renamed_metrics import METRICS as RENAMED

DECISION = "fovea.decision"  # tag of a version with its decision and the inputs of the decision
_NUMBER, _CARRIED_OUT = "number_on_test_split", "carried_out"  # keys in the tag that are no part of the decision
# Keys of a decision as older versions recorded it.
_FORMER_KEYS = {"replace": "promote_if", "confidence": "confidence_level", "figures": "metrics"}


def decision_text(content: dict[str, Any], number: int, carried_out: bool) -> str:
    """Return the value of the tag.

    Args:
        content: The decision and its inputs.
        number: Number of the decision among those on the same test split.
        carried_out: Whether the alias is assigned and the decision is counted.
    """
    return json.dumps({**content, _NUMBER: number, _CARRIED_OUT: carried_out})


def was_interrupted(version: Version) -> bool:
    """Return whether the process that made the latest decision about a version ended before it was carried out."""
    return _read(version).get(_CARRIED_OUT) is False


def recorded_decision(version: Version, basis: dict[str, Any]) -> dict[str, Any] | None:
    """Return the decision of a version and its inputs.

    Args:
        version: Version of the network.
        basis: The inputs.

    Returns:
        None if there is none, its inputs differ, it was interrupted, or someone edited the tag.
    """
    recorded = {_FORMER_KEYS.get(key, key): value for key, value in _read(version).items()}
    metrics = recorded.get("metrics")
    if not isinstance(metrics, dict):
        return None
    recorded["metrics"] = {RENAMED.get(name, name): value for name, value in metrics.items()}
    if not (basis | {_CARRIED_OUT: True}).items() <= recorded.items():
        return None
    return {name: value for name, value in recorded.items() if name not in (_CARRIED_OUT, _NUMBER)}


def decision_number(registry: Registry, version: Version | None, basis: dict[str, Any], root: Path) -> int:
    """Return the number of a decision on its test split: the next one, or that of the same decision if interrupted.

    A decision is recorded with its number, carried out, counted, and then marked as carried out. So it is counted once,
    whenever it is interrupted.

    Args:
        registry: The registered model.
        version: Version of the network; None: it is not registered yet.
        basis: Inputs of the decision.
        root: Root folder of the repository.
    """
    split = basis["test_digest"]
    if version is not None:
        interrupted = _read(version)
        if (basis | {_CARRIED_OUT: False}).items() <= interrupted.items() and _number(interrupted, split):
            return _number(interrupted, split)
    known = (_number(_read(each), split) for each in registry.versions())
    return max(count_decisions(registry, root, split), *known, 0) + 1


def _number(decision: dict[str, Any], test_digest: str) -> int:
    """Return the number of a decision; 0 if it has none, or is one on another test split."""
    number = decision.get(_NUMBER) if decision.get("test_digest") == test_digest else None
    return number if isinstance(number, int) and number > 0 else 0


def _read(version: Version) -> dict[str, Any]:
    """Read the tag; empty if there is none, or someone edited it so that it is no decision."""
    try:
        found = json.loads(version.tags.get(DECISION, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
