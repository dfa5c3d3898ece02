"""The lines of an input file, with bounded length and their offsets."""

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A longer line is invalid, and must not fill the memory."""
TRUNCATED_LINE_BYTES: Final = 1024
"""Kept of a longer line."""
_CHUNK: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some programs write at the beginning of a file."""


class Source(Protocol):
    """A seekable binary file."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next line, at most `size` bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size`."""

    def seek(self, offset: int, /) -> object:
        """Set the position."""


class Line(msgspec.Struct, frozen=True):
    """A line of a job's input.

    Attributes:
        number: 1 for the first line; empty lines count.
        offset: offset of its first byte in the file.
        size: bytes, including the line end.
        text: content without surrounding space; the beginning only if `too_long`.
        too_long: whether it exceeds the limit.
    """

    number: int
    offset: int
    size: int
    text: bytes
    too_long: bool = False


def lines(
    source: Source, number: int = 1, offset: int = 0, *, longest: int = MAX_LINE_BYTES
) -> Iterator[Line]:
    """Yield the lines from a position on, without empty ones.

    Args:
        source: the file.
        number: number of the first line to read.
        offset: offset of its first byte.
        longest: bytes of a line that is read completely at most.
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
    """Read one line again.

    Raises:
        LookupError: the line is not there: the file has changed.
    """
    for line in lines(source, number, offset):
        if line.number == number:
            return line
        break
    raise LookupError(f"line {number} is no longer at byte {offset}")


def _skip(source: Source) -> int:
    """Skip to the end of a line and return the number of bytes."""
    skipped = 0
    while piece := source.readline(_CHUNK):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped
