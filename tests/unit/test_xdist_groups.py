"""Tests are distributed by file; files that share a resource run in one process."""

import pytest

from tests.xdist_groups import group_of


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("tests/unit/test_a.py::test_b[1::2]", "tests/unit/test_a.py"),
        ("tests/faults/test_broker.py::test_09[1]", "faults"),
        ("tests/integration/containers/test_jobs.py::test_c", "engine"),
        ("tests/acceptance/test_deploying.py::test_d[docker]", "engine"),
        ("tests/acceptance/test_commands.py::test_e", "tests/acceptance/test_commands.py"),
    ],
)
def test_a_file_is_not_split_and_files_that_share_an_engine_stay_together(test: str, group: str) -> None:
    assert group_of(test) == group
