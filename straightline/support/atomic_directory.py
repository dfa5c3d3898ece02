"""Atomic replacement of a directory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_directory(target: Path, *, scratch: Path | None = None) -> Iterator[Path]:
    """Yield an empty directory that replaces `target` if the block succeeds; otherwise change nothing.

    Args:
        target: the directory to replace; it need not exist.
        scratch: directory for the new content, on the same file system; None takes the parent of `target`.

    Raises:
        OSError: a directory cannot be written.
    """
    scratch = scratch or target.parent
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=scratch) as place:
        # Two levels down, where no reader of `<name>/<version>/model.toml` or `<name>/function.toml` looks.
        fresh, old = (Path(place) / "replacement" / name for name in ("fresh", "old"))
        fresh.mkdir(parents=True)
        yield fresh
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
