"""History of the champions in the tags of the registered model, and rollback to an earlier champion."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import UserError
from pipeline.registry.versions import Registry, Version

_LOGGER = logging.getLogger(__name__)

_TAG = "champion."
_MAX_REASON = 1000


@dataclass(frozen=True)
class ChampionTenure:
    """An entry of the history: a version became champion, or ceased to be champion.

    Attributes:
        version: Number of the version.
        since: Time in UTC, ISO 8601.
        reason: Reason for the change.
        rollback: Whether the version became champion again by a rollback, which removes later versions from the line.
        ended: Whether the version ceased to be champion and no other version replaced it.
    """

    version: int
    since: str
    reason: str
    rollback: bool = False
    ended: bool = False


def read_history(registry: Registry) -> list[ChampionTenure]:
    """Return all entries of the history, in chronological order.

    Raises:
        UserError: A tag is not an entry of the history.
    """
    tags = registry.tags()
    return [_entry(registry, name, tags[name]) for name in sorted(tags) if name.startswith(_TAG)]


def _entry(registry: Registry, tag: str, text: str) -> ChampionTenure:
    try:
        return TypeAdapter(ChampionTenure).validate_json(text)
    except ValidationError:
        raise UserError(
            f"{registry.name}: the tag {tag} must be an entry of the history of champions, got {text[:100]!r}; "
            "correct or delete the tag in MLflow"
        ) from None


def line_of(history: Sequence[ChampionTenure]) -> list[int]:
    """Return the numbers of the champions that rollbacks return to, in chronological order; the current one is last."""
    line: list[int] = []
    for tenure in history:
        if tenure.ended:
            line = [number for number in line if number != tenure.version]
        elif tenure.rollback and tenure.version in line:
            del line[line.index(tenure.version) + 1 :]
        elif line[-1:] != [tenure.version]:
            line = [number for number in line if number != tenure.version] + [tenure.version]
    return line


def promote(registry: Registry, version: Version, reason: str, rollback: bool = False) -> None:
    """Make a version champion, and add an entry to the history; does nothing if it is already the champion.

    Args:
        registry: Registered model.
        version: New champion.
        reason: Reason for the change.
        rollback: Whether this is a rollback.
    """
    champion, history = registry.champion(), read_history(registry)
    current = history[-1].version if history and not history[-1].ended else None
    if champion is not None and champion.number not in (version.number, current):
        _add(registry, history, ChampionTenure(champion.number, _now(), "the alias was moved by hand"))
        current = champion.number
    if current != version.number:
        _add(registry, history, ChampionTenure(version.number, _now(), reason[:_MAX_REASON], rollback))
    registry.assign("champion", version)


def demote(registry: Registry, version: Version, reason: str) -> None:
    """Add an entry to the history: the version ceased to be champion, and no other version replaced it."""
    history = read_history(registry)
    if line_of(history)[-1:] == [version.number]:
        _add(registry, history, ChampionTenure(version.number, _now(), reason[:_MAX_REASON], ended=True))


def roll_back(registry: Registry) -> None:
    """Assign the alias `champion` to the previous champion.

    Raises:
        UserError: There is no previous champion.
    """
    versions = {version.number: version for version in registry.versions()}
    champion = registry.champion()
    line = [number for number in line_of(read_history(registry)) if number in versions]
    if champion is not None and line[-1:] == [champion.number]:
        line.pop()
    if not line:
        raise UserError(
            f"{registry.name}: rollback requires an earlier champion, but there is none to return to; nothing changed"
        )
    previous = versions[line[-1]]
    reason = f"rolled back from version {champion.number}" if champion else "rolled back"
    promote(registry, previous, reason, rollback=True)
    if champion is not None:
        registry.tag(champion, "rolled_back", f"{_now()}, to version {previous.number}")
    _LOGGER.info(f"{registry.name}: version {previous.number} is champion again, {reason}")


def _add(registry: Registry, history: list[ChampionTenure], tenure: ChampionTenure) -> None:
    history.append(tenure)
    registry.tag_model(f"{_TAG}{len(history):04}", json.dumps(asdict(tenure)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
