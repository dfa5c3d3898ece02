"""Display of a running job on standard error, and its log file."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

_BAR_WIDTH: Final = 24
_LINES_WITHOUT_TERMINAL: Final = 10


class Console:
    """A `Listener` that prints lines, with a progress bar below them on a terminal.

    Args:
        log: file that gets every line.
        stream: where to print; None prints to standard error.
    """

    def __init__(self, log: Path, stream: TextIO | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log.open("w", encoding="utf-8")
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._shown = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        self._log.close()

    def line(self, text: str) -> None:
        """Print and log a line."""
        self._log.write(f"{text}\n")
        self._log.flush()
        self._clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def progress(self, done: float, total: float, text: str) -> None:
        """Show the progress; without a terminal, print a line for each tenth."""
        share = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        words = f"{share:4.0%} {text}".rstrip()
        self._log.write(f"{words}\n")
        if self._terminal:
            bar = "█" * round(share * _BAR_WIDTH)
            self._stream.write(f"\r\033[K{bar:·<{_BAR_WIDTH}} {words}")
            self._stream.flush()
        elif int(share * _LINES_WITHOUT_TERMINAL) != self._shown:
            self._shown = int(share * _LINES_WITHOUT_TERMINAL)
            self._stream.write(f"{words}\n")
            self._stream.flush()

    def _clear(self) -> None:
        if self._terminal:
            self._stream.write("\r\033[K")
