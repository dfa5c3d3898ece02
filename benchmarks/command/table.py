"""The table that a run ends with, and its JSON."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.results import Result


def show(screen: Console, results: Sequence[Result]) -> None:
    """Print the results, one a line, and which targets were kept."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("peer", justify="right")
    table.add_column("unit", no_wrap=True)
    table.add_column("ratio (min..max)", justify="right", no_wrap=True)
    table.add_column("rounds", justify="right")
    for result in results:
        peer = "" if result.peer is None else f"{_number(result.peer)} {result.peer_name}"
        row = (result.name, _number(result.ours), peer, result.unit, _ratio(result), str(result.rounds))
        table.add_row(*row)
    screen.print(table)
    for result in results:
        if result.target:
            screen.print(f"{result.name}, {result.target}", markup=False)


def write(file: Path, results: Sequence[Result]) -> None:
    """Write the results as a JSON list."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(list(results)), indent=2) + b"\n")


def read(file: Path) -> list[Result]:
    """Read what `write` wrote.

    Raises:
        msgspec.MsgspecError: it is something else.
        OSError: it cannot be read.
    """
    return msgspec.json.decode(file.read_bytes(), type=list[Result])


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(result: Result) -> str:
    if result.ratio_median is None or result.ratio_min is None or result.ratio_max is None:
        return ""
    return f"{result.ratio_median:.2f} ({result.ratio_min:.2f}..{result.ratio_max:.2f})"
