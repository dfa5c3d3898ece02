"""Lines of a file one at a time, each within a bound, with where they begin; reads and keeps nothing."""

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Bytes of one line; more is no request, and must not fill the memory."""
TRUNCATED_LINE_BYTES: Final = 1024
"""Bytes that are read of a line that is longer."""
_CHUNK: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some programs put before the first line."""


class Source(Protocol):
    """A binary file that can be read from any place."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line, `size` bytes of it at most."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next `size` bytes."""

    def seek(self, offset: int, /) -> object:
        """Go to a place."""


class Line(msgspec.Struct, frozen=True):
    """A line of a job's input.

    Attributes:
        number: 1 for the first of the file; empty ones count.
        offset: of its first byte in the file.
        size: bytes, its end included.
        text: what it says, without its end; the beginning alone where it is
        too_long: above the bound.
    """

    number: int
    offset: int
    size: int
    text: bytes
    too_long: bool = False


def lines(
    source: Source, number: int = 1, offset: int = 0, *, longest: int = MAX_LINE_BYTES
) -> Iterator[Line]:
    """Yield the lines from a place on; those with nothing in them are left out.

    Args:
        source: the file.
        number: of the first line to read.
        offset: where it begins.
        longest: bytes of the longest line that is read whole.
    """
    source.seek(offset)
    while text := source.readline(longest + 1):
        size, too_long = len(text), len(text) > longest and not text.endswith(b"\n")
        if too_long:
            text = text[:TRUNCATED_LINE_BYTES]
            size += _skip(source)
        stripped = (text.removeprefix(_BOM) if number == 1 else text).strip()
        if stripped:
            yield Line(number, offset, size, stripped, too_long)
        number, offset = number + 1, offset + size
        source.seek(offset)


def line_at(source: Source, number: int, offset: int) -> Line:
    """Return one line again.

    Raises:
        LookupError: it is not there any more: the file was changed.
    """
    for line in lines(source, number, offset):
        if line.number == number:
            return line
        break
    raise LookupError(f"line {number} is not at byte {offset} any more")


def _skip(source: Source) -> int:
    """Read on to the end of a line, and return the bytes up to there."""
    skipped = 0
    while piece := source.readline(_CHUNK):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped
