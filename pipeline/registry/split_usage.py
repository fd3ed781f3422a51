"""How often a test split was used: the networks evaluated on it, and the decisions of the gate made on it."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pipeline.files import write_file
from pipeline.registry.versions import Registry
from pipeline.tracking.mirror import Mirror

_LONGEST_WAIT = 30.0  # seconds for a file that is written in an instant
_DECISIONS = "fovea.decisions"  # with the split's digest: the tag of the registered model that counts decisions


@dataclass(frozen=True)
class SplitUsage:
    """How often a test split was used.

    Attributes:
        networks: different ones that were evaluated on it.
        decisions: of the gate.
        shared: whether MLflow counted, for all clones that use it; else it is this clone's own count.
    """

    networks: int
    decisions: int
    shared: bool

    def sentence(self, accuracy: float, images: int) -> str:
        """The counts, and what they do to the accuracy.

        Args:
            accuracy: of the network on the split.
            images: of the split.
        """
        where = "" if self.shared else " (counted in this clone alone, since MLflow is away)"
        decisions = f"{self.decisions} decision{'' if self.decisions == 1 else 's'}"
        if self.networks < 2:
            made = f", but {decisions} of the gate were made on it" if self.decisions > 1 else ""
            return f"No other network, runners-up aside, was evaluated on this test split so far{made}{where}."
        gain = selection_gain(self.networks, accuracy, images)
        return (
            f"{self.networks} networks, runners-up aside, were evaluated on this test split so far, and {decisions} of "
            f"the gate made on it{where}; the best of {self.networks} equally good networks looks better by up to "
            f"{gain:.4f} on average."
        )


def selection_gain(networks: int, accuracy: float, images: int) -> float:
    """How much better than it is the best of several equally good networks looks, at most, on average.

    That is sqrt(2 ln k) standard errors, a bound on the mean of the maximum of k normal variables, independent or not.

    Args:
        networks: their number, k.
        accuracy: of each.
        images: that they are evaluated on.
    """
    return math.sqrt(2 * math.log(networks)) * math.sqrt(accuracy * (1 - accuracy) / images)


def add_evaluation(root: Path, test_digest: str, model_digest: str) -> None:
    """Count a network in this clone; MLflow knows it by the tags of its run."""
    with _lock(root, test_digest):
        networks, decisions = _read(root, test_digest)
        _write(root, test_digest, networks | {model_digest}, decisions)


def add_decision(registry: Registry, root: Path, test_digest: str) -> None:
    """Count a decision of the gate, in MLflow and in this clone."""
    tag = _tag(test_digest)
    registry.tag_model(tag, str(int(registry.tags().get(tag, 0)) + 1))
    with _lock(root, test_digest):
        networks, decisions = _read(root, test_digest)
        _write(root, test_digest, networks, decisions + 1)


def count_usage(registry: Registry | None, root: Path, test_digest: str, model_digest: str) -> SplitUsage:
    """How often a test split was used so far, by a network that is evaluated now, too.

    Args:
        registry: None: MLflow is away.
        root: the repository's root.
        test_digest: of the split.
        model_digest: of the network.
    """
    networks, decisions = _read(root, test_digest)
    networks = networks | {model_digest}
    if registry is None:
        return SplitUsage(len(networks), decisions, shared=False)
    networks |= Mirror(registry.server, root).evaluated_on(test_digest)
    counted = int(registry.tags().get(_tag(test_digest), 0))  # fewer, if its database is a new one
    return SplitUsage(len(networks), max(counted, decisions), shared=True)


def _tag(test_digest: str) -> str:
    return f"{_DECISIONS}.{test_digest[:16]}"


def _path(root: Path, test_digest: str) -> Path:
    return root / "logs" / "test_split" / f"{test_digest[:16]}.json"


def _lock(root: Path, test_digest: str) -> FileLock:
    path = _path(root, test_digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"), timeout=_LONGEST_WAIT)


def _read(root: Path, test_digest: str) -> tuple[set[str], int]:
    """Networks and decisions of this clone; none where nothing was counted, or the file is damaged."""
    try:
        content = json.loads(_path(root, test_digest).read_text(encoding="utf-8"))
        return {str(digest) for digest in content["networks"]}, int(content["decisions"])
    except (OSError, ValueError, TypeError, KeyError):
        return set(), 0


def _write(root: Path, test_digest: str, networks: set[str], decisions: int) -> None:
    content = {"networks": sorted(networks), "decisions": decisions}
    write_file(_path(root, test_digest), json.dumps(content, indent=1) + "\n")
