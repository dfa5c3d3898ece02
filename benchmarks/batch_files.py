"""The files of a batch job that is measured, and the command that runs it."""

import sys
from pathlib import Path


def write_lines(source: Path, data: str, count: int) -> None:
    """Write the input: so many lines, each with the same V2 request, which is JSON."""
    with source.open("w") as file:
        for number in range(count):
            file.write(f'{{"custom_id": "{number}", "data": {data}}}\n')


def submit(source: Path, model: str, out: Path) -> list[str]:
    """Return the command that submits the job, or takes it up again."""
    command = ["batch", "submit", str(source), "--model", model, "--out", str(out)]
    return [sys.executable, "-m", "straightline", *command]


class Answers:
    """Counts the lines of a file that grows, and reads each of them once.

    Args:
        file: which need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = self._lines = 0

    def count(self) -> int:
        """Return how many there are now."""
        if self._file.exists():
            if self._file.stat().st_size < self._read:  # a job that died goes on from what it is sure of
                self._read = self._lines = 0
            with self._file.open("rb") as file:
                file.seek(self._read)
                for piece in iter(lambda: file.read(1 << 20), b""):
                    self._read += len(piece)
                    self._lines += piece.count(b"\n")
        return self._lines
