"""Access to files below one folder that follows no symbolic link out of it."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

SUPPORTED: Final = os.open in os.supports_dir_fd
"""Whether the system supports it; Windows does not, but no worker runs there."""


class PathEscape(OSError):  # noqa: N818 - named for what the path does
    """The path leads out of the folder, or is not a regular file."""


def read_below(folder: str, parts: Sequence[str], most: int) -> bytes:
    """Return the first `most` bytes of the file at `parts` below `folder`.

    Raises:
        PathEscape: a part is a link, or the last one not a regular file (a device or pipe).
        OSError: the file cannot be read; `FileNotFoundError` if it does not exist.
    """
    with _folder(folder, parts[:-1]) as parent, _followed_nowhere():
        # O_NONBLOCK: opening a pipe without a writer would block.
        descriptor = os.open(parts[-1], _flags(os.O_NOFOLLOW | os.O_NONBLOCK), dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PathEscape("not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(descriptor)


def open_below(folder: str, parts: Sequence[str]) -> BinaryIO:
    """Open the file at `parts` below `folder` for reading; raises as `read_below`."""
    with _folder(folder, parts[:-1]) as parent, _followed_nowhere():
        descriptor = os.open(parts[-1], _flags(os.O_NOFOLLOW | os.O_NONBLOCK), dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PathEscape("not a regular file")
    return os.fdopen(descriptor, "rb")


def check_below(folder: str, parts: Sequence[str]) -> None:
    """Check that the existing folders at `parts` below `folder` are not links.

    Raises:
        PathEscape: one is.
    """
    try:
        with _folder(folder, parts):
            return
    except FileNotFoundError:
        return


@contextmanager
def _folder(folder: str, parts: Sequence[str]) -> Iterator[int]:
    # The configured folder itself may be a link.
    descriptor = os.open(folder, _flags(os.O_DIRECTORY))
    try:
        for part in parts:
            with _followed_nowhere():
                step = os.open(part, _flags(os.O_DIRECTORY | os.O_NOFOLLOW), dir_fd=descriptor)
            os.close(descriptor)
            descriptor = step
        yield descriptor
    finally:
        os.close(descriptor)


def _flags(more: int) -> int:
    return os.O_RDONLY | os.O_CLOEXEC | more


@contextmanager
def _followed_nowhere() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The kernel reports a link in place of a folder as "not a directory".
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise PathEscape(error.errno, "a link, or no folder, on the way") from error
        raise
