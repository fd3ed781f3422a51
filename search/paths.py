"""Where the stage search reads and writes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Where the stage reads and writes.

    Attributes:
        prepared: folder of dataset.json and the splits.
        studies: folder in which rungs leave their states.
        architecture: where the winner goes.
        baseline: where the network of params.yaml goes.
        reports: table, plots and records of the study.
    """

    prepared: Path = Path("data/prepared")
    studies: Path = Path("studies")
    architecture: Path = Path("models/architecture.yaml")
    baseline: Path = Path("models/baseline.yaml")
    reports: Path = Path("reports/search")
