"""Progress of steps, on a terminal or in a plain log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

MAX_WIDTH = 100


def console() -> Console:
    """Return a console of at most 100 columns; without colours if it is not a terminal."""
    wide = Console(highlight=False)
    return Console(highlight=False, width=min(wide.width, MAX_WIDTH) if wide.is_terminal else MAX_WIDTH)


@contextmanager
def step(screen: Console, title: str) -> Iterator[None]:
    """Show a step while the block runs, and its duration when it is done."""
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
