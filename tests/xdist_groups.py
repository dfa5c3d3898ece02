"""How tests are shared out among processes that run beside each other."""

from typing import Any, Final

from xdist.scheduler import LoadScopeScheduling

GROUPS: Final = {
    "tests/acceptance/test_deploying.py": "engine",
    "tests/integration/containers/": "engine",
    "tests/integration/deployment/": "engine",
    "tests/faults/": "faults",
}
"""Files and folders of which one process has all: those that share an engine and its images, and those that
measure how soon all is well again."""


def group_of(test: str) -> str:
    """Return the share that a test is of, by its node's id: its file, or one of `GROUPS`."""
    file = test.partition("::")[0]
    return next((share for place, share in GROUPS.items() if file.startswith(place)), file)


class FileGroupScheduling(LoadScopeScheduling):
    """Gives whole shares to whichever process is idle."""

    def _split_scope(self, nodeid: Any) -> str:
        return group_of(str(nodeid))
