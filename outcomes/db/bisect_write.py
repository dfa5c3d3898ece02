"""Finding what cannot be written among much that can."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from outcomes.db.errors import LedgerRefused

T = TypeVar("T")
R = TypeVar("R")


def write_with_bisection(
    items: Sequence[T], write: Callable[[Sequence[T]], R]
) -> tuple[list[R], list[tuple[T, str]]]:
    """Write all items at once; where that is refused, halve them until the guilty ones stand alone.

    With k guilty items of n it takes at most about 2 k log2(n) writes.

    Args:
        items: what to write, in order.
        write: writes all of them or raises `LedgerRefused` and writes none. Any other error ends the search.

    Returns:
        What the writes returned, and each item that was refused on its own with the reason.
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
