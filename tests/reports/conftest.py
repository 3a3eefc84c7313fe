from functools import partial

import pytest
from report_cases import write_run


@pytest.fixture
def make_run(tmp_path):
    """Writes a run's folder, as `write_run` does."""
    return partial(write_run, tmp_path)
