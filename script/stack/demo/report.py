"""Report of the demo: figures, failures, layout."""

from collections.abc import Sequence

import msgspec
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from outcomes.queries.query_results import BackendSummary, Summary
from script.docker_engine.engine import Driver
from script.stack.processes.plan import Thresholds

RULES = {
    1: "f_t > F and r_d < D: serverless",
    2: "r_d >= D: GPU container",
    3: "a local server is available: local",
    4: "a GPU container is available: GPU container",
    5: "otherwise: serverless",
}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures that `--json` writes; `accepted` is from publisher confirms, the rest from the ledger.

    Attributes:
        accepted: requests confirmed by the broker.
        outcomes: their outcomes in the ledger.
        by_state: outcomes by state.
        by_backend: by backend: placed, failed, p50_ms and p95_ms from submission to outcome.
        by_rule: placements by deciding rule, "1".."5".
        lost: accepted requests without an outcome.
        duplicates: outcomes beyond the first of a request.
        seconds: from the first request to the last outcome in the ledger.
        accuracy: share of images labelled correctly, 0..1; None if none was labelled.
    """

    accepted: int
    outcomes: int
    by_state: dict[str, int]
    by_backend: dict[str, dict[str, float | None]]
    by_rule: dict[str, int]
    lost: int
    duplicates: int
    seconds: float
    accuracy: float | None


def figures(summary: Summary, *, accepted: int, seconds: float, accuracy: float | None) -> Figures:
    """Combine the counts of ledger and producer."""
    return Figures(
        accepted=accepted,
        outcomes=summary.outcomes,
        by_state=summary.by_state,
        by_backend={name: _rounded(backend) for name, backend in summary.by_backend.items()},
        by_rule={str(rule): count for rule, count in summary.by_rule.items()},
        lost=summary.lost or 0,
        duplicates=summary.duplicates,
        seconds=round(seconds, 3),
        accuracy=None if accuracy is None else round(accuracy, 4),
    )


def failures(found: Figures, submitted: int) -> list[str]:
    """Return what is wrong with the figures of `submitted` requests; empty if nothing is."""
    wrong = []
    if found.accepted != submitted:
        wrong.append(f"{submitted} requests were submitted, but {found.accepted} were accepted")
    if found.outcomes != found.accepted:
        wrong.append(f"{found.accepted} requests were accepted, but {found.outcomes} have an outcome")
    if found.lost:
        wrong.append(f"{found.lost} requests were lost")
    if found.duplicates:
        wrong.append(f"{found.duplicates} requests have more than one outcome")
    return wrong


def show(
    screen: Console, found: Figures, *, thresholds: Thresholds, driver: Driver, wrong: Sequence[str]
) -> None:
    """Print the report and what is `wrong`."""
    head = (
        f"[bold]{found.accepted:,}[/] accepted   [bold]{found.outcomes:,}[/] outcomes   "
        f"[bold]{found.lost}[/] lost   [bold]{found.duplicates}[/] duplicated   "
        f"in [bold]{found.seconds:.1f} s[/]"
    )
    states = ", ".join(f"{count:,} {state}" for state, count in found.by_state.items() if count)
    accuracy = "no image was labelled" if found.accuracy is None else f"{found.accuracy:.1%}"
    parts: list[RenderableType] = [
        head,
        f"States: {states or 'none'}.   Images labelled correctly: [bold]{accuracy}[/]",
        "",
        _rules(found),
        "",
        _backends(found),
        "",
        _legend(thresholds),
        escape(f"GPU containers: driver {driver.name} ({driver.why})."),
        *[f"[bold red]Wrong:[/] {escape(fault)}." for fault in wrong],
    ]
    screen.print(
        Panel(
            Group(*parts),
            title="StraightLine",
            title_align="left",
            border_style="red" if wrong else "green",
            padding=(1, 2),
        )
    )


def _legend(thresholds: Thresholds) -> str:
    frequency = f"f_t: requests/s of the model over {thresholds.window:g} s, F = {thresholds.F:g}."
    return f"{frequency}   r_d: bytes of the input, D = {thresholds.D:,}."


def _rules(found: Figures) -> Table:
    table = _table("Rule", "Placements", "", "")
    largest = max([1, *found.by_rule.values()])
    for rule, count in found.by_rule.items():
        bar = "█" * round(28 * count / largest) or ("▏" if count else "")
        table.add_row(f"{rule}  {RULES[int(rule)]}", f"{count:,}", f"[cyan]{bar}[/]", "")
    return table


def _backends(found: Figures) -> Table:
    table = _table("Backend", "Placements", "failed", "p50 ms", "p95 ms")
    for name, row in found.by_backend.items():
        table.add_row(name, *[_number(row[key]) for key in ("placed", "failed", "p50_ms", "p95_ms")])
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _rounded(backend: BackendSummary) -> dict[str, float | None]:
    return {
        "placed": backend.placed,
        "failed": backend.failed,
        "p50_ms": None if backend.p50_ms is None else round(backend.p50_ms, 2),
        "p95_ms": None if backend.p95_ms is None else round(backend.p95_ms, 2),
    }
