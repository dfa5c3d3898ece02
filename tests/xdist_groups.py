"""Distribution of tests among parallel pytest processes."""

from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    "tests/acceptance/test_deploying.py": "engine",
    "tests/integration/containers/": "engine",
    "tests/integration/deployment/": "engine",
    "tests/faults/": "faults",
}
"""Files and folders that run in one process each: they share a Docker engine, or measure recovery times."""


def group_of(test: str) -> str:
    """Return the group of a test, by its node id: one of `GROUPS`, or its file."""
    file = test.partition("::")[0]
    return next((group for place, group in GROUPS.items() if file.startswith(place)), file)


class FileGroupScheduling(LoadScopeScheduling):
    """Schedule whole groups to idle processes."""

    def _split_scope(self, nodeid: Any) -> str:
        return group_of(str(nodeid))
