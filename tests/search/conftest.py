"""A fixture shared by several modules."""

from functools import partial
from pathlib import Path

import pytest

from tests.search.workplace import Make, Workplace


@pytest.fixture(scope="session")
def make(empty_database: Path) -> Make:
    """Create a workplace with a copy of MLflow's tables, which take seconds to create."""
    return partial(Workplace, empty_database)
