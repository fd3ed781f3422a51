"""Each test in this folder has its own database."""

import pytest


@pytest.fixture(autouse=True)
def separate_database(own_database: None) -> None:
    """Copy the empty MLflow database into the test's folder."""
