"""Load a source with a new folder of decoded files."""

from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.loaders import table
from pipeline.sections import DataParams
from pipeline.sources.source import Source


def load(params: DataParams, seed: int) -> Source:
    """Load a source. Its decoded files are mapped, and remain readable after their folder has been removed."""
    with TemporaryDirectory() as folder:
        return table.load(params, seed, Path(folder))
