"""Text for a terminal: aligned tables, and nothing that would steer it; pure."""

from collections.abc import Sequence
from datetime import UTC, datetime


def table(rows: Sequence[Sequence[str]], left: Sequence[int] | None = None) -> str:
    """Align rows of cells.

    Args:
        rows: the first one holds the headings.
        left: columns that are aligned to the left; None takes the first and the last one.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    texts = (0, len(widths) - 1) if left is None else left
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def facts(pairs: Sequence[tuple[str, str | None]]) -> list[str]:
    """Return a line for each pair that has a value, the values one below the other."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in known]


def printable(text: str) -> str:
    """Replace what would steer a terminal: errors and results come from elsewhere."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def moment(time: float | None) -> str | None:
    """Return a time in seconds since the epoch as UTC, or None."""
    if time is None:
        return None
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s since the epoch"


def seconds(value: float) -> str:
    """Return a duration."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def percent(share: float | None) -> str:
    """Return a share of 0..1, or a dash where there is none."""
    return "-" if share is None else f"{share:.2%}"
