"""A directory that is replaced whole, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_directory(target: Path, *, scratch: Path | None = None) -> Iterator[Path]:
    """Give a fresh directory that takes the place of `target` when the block ends well; else nothing changes.

    Args:
        target: what is replaced; it need not be there yet.
        scratch: where to write meanwhile, on the same file system; None takes the directory of `target`.

    Raises:
        OSError: it cannot be written there.
    """
    scratch = scratch or target.parent
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=scratch) as place:
        # Two folders down, where no reader of `<name>/<version>/model.toml` or `<name>/function.toml` looks.
        fresh, old = (Path(place) / "replacement" / name for name in ("fresh", "old"))
        fresh.mkdir(parents=True)
        yield fresh
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
