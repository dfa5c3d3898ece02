"""`python -m script.log_events`: update docs/log-events.md from the calls in the code.

The meanings are written in the page by hand and kept.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from straightline.support.logs import PACKAGES

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "log-events.md"
LEVELS: Final = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}
RECEIVERS: Final = {"log", "logger", "_log", "effects", "_effects"}
HEAD: Final = "| event | level | fields | package | meaning |\n|---|---|---|---|---|\n"
_ROW: Final = re.compile(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)


class Use(NamedTuple):
    """A call that logs.

    Attributes:
        event: its first argument if that is a literal; None otherwise.
        level: as a word, `varies` where it is computed.
        fields: names of its fields; None for unnamed ones (`**fields`).
        module: dotted.
        line: of the call.
    """

    event: str | None
    level: str
    fields: tuple[str | None, ...]
    module: str
    line: int


class Row(NamedTuple):
    """A row of the page, with its columns as text."""

    level: str
    fields: str
    packages: str
    meaning: str


def uses(packages: Sequence[str] = PACKAGES) -> Iterator[Use]:
    """Yield each call that logs an event."""
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and (use := _use(node, module)) is not None:
                    yield use


def table(found: Sequence[Use]) -> dict[str, Row]:
    """Return the rows of the page by event, without meanings."""
    rows = {}
    for event in sorted({use.event for use in found if use.event is not None}):
        those = [use for use in found if use.event == event]
        rows[event] = Row(
            ", ".join(sorted({use.level for use in those})),
            ", ".join(f"`{name}`" for name in those[0].fields),
            ", ".join(sorted({use.module.split(".")[0] for use in those})),
            "",
        )
    return rows


def page_rows(text: str) -> dict[str, Row]:
    """Return the rows of the page by event."""
    return {event: Row(*columns) for event, *columns in _ROW.findall(text)}


def updated(text: str, rows: Mapping[str, Row]) -> str:
    """Return the page with these rows, and the meanings that it has."""
    known = page_rows(text)
    start = text.index(HEAD) + len(HEAD)
    lines = [
        f"| `{event}` | {row.level} | {row.fields} | {row.packages} | "
        f"{known[event].meaning if event in known else ''} |\n"
        for event, row in rows.items()
    ]
    return text[:start] + "".join(lines)


def _use(node: ast.Call, module: str) -> Use | None:
    if not (isinstance(node.func, ast.Attribute) and node.func.attr in {*LEVELS, "log"}):
        return None
    receiver = node.func.value
    name = receiver.id if isinstance(receiver, ast.Name) else getattr(receiver, "attr", None)
    if name not in RECEIVERS:
        return None
    level = LEVELS.get(node.func.attr, "varies")
    place = 1 if node.func.attr == "log" else 0
    if place and isinstance(node.args[0], ast.Constant):  # effects of the scheduler have levels as words
        level = str(node.args[0].value).upper()
    first = node.args[place] if len(node.args) == place + 1 else None
    event = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
    fields = tuple(keyword.arg for keyword in node.keywords if keyword.arg != "raised")
    return Use(event, level, fields, module, node.lineno)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), table(list(uses()))), encoding="utf-8")
