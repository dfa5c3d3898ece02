"""The stack of the suite, shared by its rows; the table of what they found; and which rows run by default."""

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.harness.row import Line, Row
from tests.faults.harness.scene import Scene

# Of every connection that is refused it writes nine lines, and here many are.
logging.getLogger("pika").setLevel(logging.CRITICAL)

HERE = Path(__file__).resolve().parent
TABLE = pytest.StashKey[list[Line]]()
LINE = pytest.StashKey[Line]()


class Stage:
    """Has a scene that works, and makes another where a row has left one that cannot be healed."""

    def __init__(self) -> None:
        self._scene: Scene | None = None

    def scene(self) -> Scene:
        """Return a scene in which everything works."""
        if self._scene is None:
            self._scene = Scene.open()
        return self._scene

    def has(self, scene: Scene) -> bool:
        """Whether that scene is still the one."""
        return self._scene is scene

    def heal(self) -> None:
        """Bring everything back to what it was; where that fails, the next row has a new scene."""
        try:
            self.scene().heal()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything."""
        if self._scene is not None:
            self._scene.close()
            self._scene = None


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def row(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Row]:
    line = request.node.stash[LINE] = Line(request.node.name.removeprefix("test_"))
    request.config.stash.setdefault(TABLE, []).append(line)
    row = Row(stage.scene(), line)
    yield row
    row.end()
    if line.verdict == "passed":
        stage.heal()
    else:
        stage.close()  # what it left behind is none of the next one's business


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if LINE in item.stash and (report.when == "call" or report.failed):
        item.stash[LINE].verdict = report.outcome
    return report


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where all tests are run, run the fast rows alone; the others are counted as deselected."""
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
    """Print what the rows found."""
    lines = config.stash.get(TABLE, [])
    if not lines:
        return
    terminalreporter.section("faults")
    wide = max(len(line.fault) for line in lines)
    head = ("requests", "lost", "doubled", "run twice", "recovery s", "verdict")
    terminalreporter.write_line(f"{'fault':{wide}}  " + "  ".join(f"{word:>10}" for word in head))
    for line in lines:
        felt = "-" if line.recovery is None else f"{line.recovery:.1f}"
        told = (line.requests, line.lost, line.doubled, line.surplus, felt, line.verdict)
        terminalreporter.write_line(f"{line.fault:{wide}}  " + "  ".join(f"{word!s:>10}" for word in told))
