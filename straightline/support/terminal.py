"""Text for a terminal: aligned tables, units, and no control characters."""

from collections.abc import Sequence
from datetime import UTC, datetime


def table(rows: Sequence[Sequence[str]], left: Sequence[int] | None = None) -> str:
    """Align rows of cells.

    Args:
        rows: the first one is the heading.
        left: indexes of the left-aligned columns; None means the first and the last one.
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
    """Return one line per pair that has a value, with the values aligned."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in known]


def printable(text: str) -> str:
    """Replace control characters, which a foreign error or result may contain."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def moment(time: float | None) -> str | None:
    """Format seconds since the epoch as UTC."""
    if time is None:
        return None
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s since the epoch"


def seconds(value: float) -> str:
    """Format a duration in seconds."""
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"


def percent(share: float | None) -> str:
    """Format a share of 0..1; a dash stands for None."""
    return "-" if share is None else f"{share:.2%}"
