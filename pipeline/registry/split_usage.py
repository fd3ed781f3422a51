"""Count how often a test split was used: the networks evaluated on it, and the decisions of the gate."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import UserError
from pipeline.file_content import read_json
from pipeline.files import write_file
from pipeline.registry.versions import Registry
from pipeline.tracking.publisher import MlflowPublisher

_MAX_WAIT = 30.0  # seconds; the lock is held only while a small file is written
_MAX_DIGITS = 9  # of a number of decisions
_DECISIONS = "fovea.decisions"  # prefix of the registered model's tag that counts decisions; the split's digest follows


@dataclass(frozen=True)
class SplitUsage:
    """Number of uses of a test split.

    Attributes:
        networks: Number of different networks that were evaluated on the split.
        decisions: Number of decisions of the gate.
        shared: Whether the counts are from MLflow, for all clones that use it; otherwise they are from this clone only.
    """

    networks: int
    decisions: int
    shared: bool

    def sentence(self, accuracy: float, images: int) -> str:
        """Return a sentence with the counts and the resulting selection bias of the accuracy.

        Args:
            accuracy: Accuracy of the network on the split.
            images: Number of images in the split.
        """
        where = "" if self.shared else " (counted in this clone only, since MLflow is not available)"
        decisions = f"{self.decisions} decision{'' if self.decisions == 1 else 's'}"
        if self.networks < 2:
            made = f", but the gate has used it for {decisions}" if self.decisions > 1 else ""
            return f"Apart from runners-up, no other network has been evaluated on this test split so far{made}{where}."
        gain = selection_gain(self.networks, accuracy, images)
        return (
            f"{self.networks} networks, not counting runners-up, have been evaluated on this test split so far, and "
            f"the gate has used it for {decisions}{where}; the accuracy of the best of {self.networks} equally good "
            f"networks is overestimated by up to {gain:.4f} on average."
        )


def selection_gain(networks: int, accuracy: float, images: int) -> float:
    """Return an upper bound on the expected overestimation of the best of several equally good networks.

    The bound is sqrt(2 ln k) standard errors. It bounds the expected maximum of k normal variables, even if they are
    dependent.

    Args:
        networks: Number of networks, k.
        accuracy: Accuracy of each network.
        images: Number of images that they are evaluated on.
    """
    return math.sqrt(2 * math.log(networks)) * math.sqrt(accuracy * (1 - accuracy) / images)


def add_evaluation(root: Path, test_digest: str, model_digest: str) -> None:
    """Count a network in this clone; MLflow counts it by the tags of its run."""
    with _lock(root, test_digest):
        networks, decisions = _read(root, test_digest)
        _write(root, test_digest, networks | {model_digest}, decisions)


def add_decision(registry: Registry, root: Path, test_digest: str, number: int) -> None:
    """Count a decision of the gate in MLflow and in this clone, unless it is counted already.

    Args:
        registry: Registered model.
        root: Root folder of the repository.
        test_digest: Digest of the split.
        number: Number of the decision; the first one has the number 1.
    """
    if number > _counted(registry, test_digest):
        registry.tag_model(_tag(test_digest), str(number))
    with _lock(root, test_digest):
        networks, decisions = _read(root, test_digest)
        _write(root, test_digest, networks, max(decisions, number))


def count_decisions(registry: Registry, root: Path, test_digest: str) -> int:
    """Return the number of decisions of the gate that were counted in MLflow, or in this clone if they are more."""
    # MLflow has counted less than the clone if its database is new.
    return max(_counted(registry, test_digest), _read(root, test_digest)[1])


def count_usage(registry: Registry | None, root: Path, test_digest: str, model_digest: str) -> SplitUsage:
    """Return how often a test split has been used, including the current evaluation.

    Args:
        registry: Registered model; None: MLflow is not available.
        root: Root folder of the repository.
        test_digest: Digest of the split.
        model_digest: Digest of the network that is being evaluated.
    """
    networks, decisions = _read(root, test_digest)
    networks = networks | {model_digest}
    if registry is None:
        return SplitUsage(len(networks), decisions, shared=False)
    networks |= MlflowPublisher(registry.server, root).evaluated_on(test_digest)
    return SplitUsage(len(networks), count_decisions(registry, root, test_digest), shared=True)


def _tag(test_digest: str) -> str:
    return f"{_DECISIONS}.{test_digest[:16]}"


def _counted(registry: Registry, test_digest: str) -> int:
    """Return the number of decisions that MLflow counts; 0 if there is none, or someone edited the tag."""
    found = registry.tags().get(_tag(test_digest), "")
    return int(found) if found.isdecimal() and len(found) <= _MAX_DIGITS else 0


def _path(root: Path, test_digest: str) -> Path:
    return root / "logs" / "test_split" / f"{test_digest[:16]}.json"


def _lock(root: Path, test_digest: str) -> FileLock:
    path = _path(root, test_digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_suffix(".lock"), timeout=_MAX_WAIT)


def _read(root: Path, test_digest: str) -> tuple[set[str], int]:
    """Read the networks and decisions of this clone; none if nothing was counted or the file is damaged."""
    try:
        content = read_json(_path(root, test_digest), "the uses of a test split", "remove it", dict[str, Any])
        return {str(digest) for digest in content["networks"]}, int(content["decisions"])
    except (UserError, ValueError, TypeError, KeyError):
        return set(), 0


def _write(root: Path, test_digest: str, networks: set[str], decisions: int) -> None:
    content = {"networks": sorted(networks), "decisions": decisions}
    write_file(_path(root, test_digest), json.dumps(content, indent=1) + "\n")
