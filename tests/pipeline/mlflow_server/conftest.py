"""Every test of this folder has a database of its own."""

import pytest


@pytest.fixture(autouse=True)
def each_has_its_own_database(own_database: None) -> None:
    """Copy MLflow's tables into the test's folder."""
