"""A fixture shared by several modules."""

from functools import partial
from pathlib import Path

import pytest

from tests.search.project import Make, Project


@pytest.fixture(scope="session")
def make(empty_database: Path) -> Make:
    """Create a project with a copy of MLflow's tables, which take seconds to create."""
    return partial(Project, empty_database)
