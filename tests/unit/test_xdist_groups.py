"""Tests go to processes by files, and together where they share what only one may use."""

import pytest

from tests.xdist_groups import group_of


@pytest.mark.parametrize(
    ("test", "share"),
    [
        ("tests/unit/test_a.py::test_b[1::2]", "tests/unit/test_a.py"),
        ("tests/faults/test_broker.py::test_09[1]", "faults"),
        ("tests/integration/containers/test_jobs.py::test_c", "engine"),
        ("tests/acceptance/test_deploying.py::test_d[docker]", "engine"),
        ("tests/acceptance/test_commands.py::test_e", "tests/acceptance/test_commands.py"),
    ],
)
def test_files_stay_whole_and_what_shares_an_engine_stays_together(test: str, share: str) -> None:
    assert group_of(test) == share
