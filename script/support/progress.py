"""Showing on a terminal, or in a plain log, what is being done and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

MAX_WIDTH = 100


def console() -> Console:
    """Return the console for people: at most 100 columns, without colours where nobody watches."""
    wide = Console(highlight=False)
    return Console(highlight=False, width=min(wide.width, MAX_WIDTH) if wide.is_terminal else MAX_WIDTH)


@contextmanager
def step(screen: Console, title: str) -> Iterator[None]:
    """Show that `title` goes on for as long as the block lasts, and that it is done, and in what time."""
    began = time.monotonic()
    text = escape(title)
    if screen.is_terminal:
        with screen.status(f"{text} ..."):
            yield
    else:
        screen.print(f"{text} ...")
        yield
    took = f"{time.monotonic() - began:.1f} s"
    screen.print(f"[green]done[/] {text} [dim]({took})[/]" if screen.is_terminal else f"  done in {took}")
