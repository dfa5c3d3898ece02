"""Isolates rows that Postgres refuses by bisecting a batch, so that the others are written."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from outcomes.db.errors import LedgerRefused

T = TypeVar("T")
R = TypeVar("R")


def write_with_bisection(
    items: Sequence[T], write: Callable[[Sequence[T]], R]
) -> tuple[list[R], list[tuple[T, str]]]:
    """Write all items, halving a refused batch until each refused item is alone.

    With k refused items among n it takes about 2 k log2(n) writes.

    Args:
        items: what to write, in order.
        write: writes all items, or raises `LedgerRefused` and writes none. Any other error propagates.

    Returns:
        The results of the writes, and each refused item with the reason.
    """
    try:
        return [write(items)], []
    except LedgerRefused as error:
        if len(items) <= 1:
            return [], [(item, str(error)) for item in items]
    middle = len(items) // 2
    done, refused = write_with_bisection(items[:middle], write)
    more_done, more_refused = write_with_bisection(items[middle:], write)
    return done + more_done, refused + more_refused
