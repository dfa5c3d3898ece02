"""The stack shared by the fault cases, the table of results, and which cases run by default."""

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.harness.fault_case import FaultCase, TableRow
from tests.faults.harness.fault_stack import FaultStack

# It logs nine lines for each refused connection.
logging.getLogger("pika").setLevel(logging.CRITICAL)

HERE = Path(__file__).resolve().parent
TABLE = pytest.StashKey[list[TableRow]]()
LINE = pytest.StashKey[TableRow]()


class SharedStack:
    """Provides a working stack; starts another one if a case has broken it beyond repair."""

    def __init__(self) -> None:
        self._scene: FaultStack | None = None

    def stack(self) -> FaultStack:
        """Return a working stack."""
        if self._scene is None:
            self._scene = FaultStack.open()
        return self._scene

    def has(self, stack: FaultStack) -> bool:
        """Whether that stack is still in use."""
        return self._scene is stack

    def restore(self) -> None:
        """Restore the stack; if that fails, the next case gets a new one."""
        try:
            self.stack().restore()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Stop the stack."""
        if self._scene is not None:
            self._scene.close()
            self._scene = None


@pytest.fixture(scope="session")
def stage() -> Iterator[SharedStack]:
    stage = SharedStack()
    yield stage
    stage.close()


@pytest.fixture
def case(stage: SharedStack, request: pytest.FixtureRequest) -> Iterator[FaultCase]:
    line = request.node.stash[LINE] = TableRow(request.node.name.removeprefix("test_"))
    request.config.stash.setdefault(TABLE, []).append(line)
    case = FaultCase(stage.stack(), line)
    yield case
    case.end()
    if line.verdict == "passed":
        stage.restore()
    else:
        stage.close()  # a failed case must not affect the next one


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if LINE in item.stash and (report.when == "call" or report.failed):
        item.stash[LINE].verdict = report.outcome
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run only the fast cases when all tests run; the others count as deselected."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or os.environ.get("STRAIGHTLINE_FAULTS"):
        return
    slow = [
        item
        for item in items
        if item.path.is_relative_to(HERE)
        and item.get_closest_marker("faults")
        and not item.get_closest_marker("fast")
    ]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of results."""
    lines = config.stash.get(TABLE, [])
    if not lines:
        return
    terminalreporter.section("faults")
    wide = max(len(line.fault) for line in lines)
    head = ("requests", "lost", "duplicated", "run twice", "recovery s", "verdict")
    terminalreporter.write_line(f"{'fault':{wide}}  " + "  ".join(f"{word:>10}" for word in head))
    for line in lines:
        recovery = "-" if line.recovery is None else f"{line.recovery:.1f}"
        values = (line.requests, line.lost, line.duplicated, line.surplus, recovery, line.verdict)
        terminalreporter.write_line(f"{line.fault:{wide}}  " + "  ".join(f"{word!s:>10}" for word in values))
