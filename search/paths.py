"""Input and output paths of the stage search."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """Input and output paths of the stage search.

    Attributes:
        prepared: Folder with dataset.json and the splits.
        studies: Folder for the rung states of studies.
        architecture: Output file for the winning candidate.
        baseline: Output file for the baseline, the network of params.yaml.
        reports: Output folder for the table, plots and records of the study.
    """

    prepared: Path = Path("data/prepared")
    studies: Path = Path("studies")
    architecture: Path = Path("models/architecture.yaml")
    baseline: Path = Path("models/baseline.yaml")
    reports: Path = Path("reports/search")
