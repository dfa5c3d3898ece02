"""Progress of a batch job on a terminal or in a log."""

import time
from pathlib import Path
from typing import Final, TextIO

from straightline.batch.journal import Progress
from straightline.batch.line_state import RunCounts
from straightline.batch.rate import RateMeter, progress_bar, progress_line
from straightline.support.terminal import printable

PLAIN_PROGRESS_INTERVAL_S: Final = 10.0
"""Between progress lines when the output is not a terminal."""
MAX_LINE_CHARS: Final = 150


class ProgressPrinter:
    """Prints a bar that is redrawn on a terminal, or a line every ten seconds elsewhere.

    Args:
        source: the job's input.
        to: the output stream.
    """

    def __init__(self, source: Path, to: TextIO) -> None:
        self._meter = RateMeter(source.stat().st_size if source.exists() else 0)
        self._to = to
        self._terminal = to.isatty()
        self._next = 0.0
        self._width = 0
        self._last = ""

    def show(self, progress: Progress, tally: RunCounts) -> None:
        """Print the progress; called several times a second."""
        now = time.monotonic()
        self._meter.add(now, progress.lines, progress.bytes)
        failed = progress.ended + progress.refused
        text = printable(
            progress_line(self._meter, lines=progress.lines, failed=failed, trouble=tally.trouble)
        )
        self._last = text
        if self._terminal:
            text = f"{progress_bar(self._meter.share)} {text}"[:MAX_LINE_CHARS]
            self._to.write("\r" + text.ljust(self._width))
            self._width = len(text)
        elif now >= self._next:
            self._to.write(text + "\n")
            self._next = now + PLAIN_PROGRESS_INTERVAL_S
        self._to.flush()

    def close(self) -> None:
        """Print the last state and end the line."""
        self._to.write("\n" if self._terminal else f"{self._last}\n")
