"""Files below one folder, never outside of it: no step of a path may be a symbolic link."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

SUPPORTED: Final = os.open in os.supports_dir_fd
"""Whether this system can do it; Windows cannot, where workers do not run."""


class PathEscape(OSError):  # noqa: N818 - it says what the path does
    """The path leads out of the folder, or to what is no plain file."""


def read_below(folder: str, parts: Sequence[str], most: int) -> bytes:
    """Return the first `most` bytes of the file at `parts` below `folder`.

    Raises:
        Escape: a part is a link, or the last one no plain file (a device, or a pipe that would block).
        OSError: it cannot be read; `FileNotFoundError` where it is not there.
    """
    with _folder(folder, parts[:-1]) as parent, _followed_nowhere():
        # A pipe without a writer would keep the reader for ever.
        descriptor = os.open(parts[-1], _flags(os.O_NOFOLLOW | os.O_NONBLOCK), dir_fd=parent)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PathEscape("this is no plain file")
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
        raise PathEscape("this is no plain file")
    return os.fdopen(descriptor, "rb")


def check_below(folder: str, parts: Sequence[str]) -> None:
    """Check that the folders at `parts` below `folder`, as far as they are there, are no links.

    Raises:
        Escape: one is.
    """
    try:
        with _folder(folder, parts):
            return
    except FileNotFoundError:
        return


@contextmanager
def _folder(folder: str, parts: Sequence[str]) -> Iterator[int]:
    # This one may be a link: it is configured.
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
        # A link where a folder was wanted is "not a directory" to the kernel, as a file is.
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise PathEscape(error.errno, "a link, or no folder, on the way") from error
        raise
