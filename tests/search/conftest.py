"""A fixture that several modules share."""

from functools import partial
from pathlib import Path

import pytest

from tests.search.workplace import Make, Workplace


@pytest.fixture(scope="session")
def make(empty_database: Path) -> Make:
    """Makes a workplace with a copy of MLflow's tables, which take seconds to make."""
    return partial(Workplace, empty_database)
