"""File argument of an option such as `--json`."""

import os
from pathlib import Path

from script.support.errors import StackError


def output_file(given: Path | None) -> Path | None:
    """Resolve the file relative to the directory that the command was called from.

    Raises:
        StackError: its directory does not exist; reported before the work starts.
    """
    if given is None:
        return None
    file = Path(os.environ.get("STRAIGHTLINE_CALLED_FROM", "."), given).absolute()
    if not file.parent.is_dir():
        raise StackError(f"--json {given}: directory {file.parent} does not exist. Create it first")
    return file
