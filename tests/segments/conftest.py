"""Where the real histories are, for the tests that measure on them; they are never part of the project."""

import os
from pathlib import Path

import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared" / "real" / "subscriptions_2018.csv.gz"


@pytest.fixture(scope="session")
def real_histories() -> pd.DataFrame:
    """The histories that HISTORIES_FILE names, or those beside the checkout."""
    path = Path(os.environ.get("HISTORIES_FILE", BESIDE))
    if not path.is_file():
        pytest.skip("the real histories are not here: set HISTORIES_FILE to a file of them")
    return pd.read_csv(path)
