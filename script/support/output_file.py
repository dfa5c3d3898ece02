"""The file that an option such as `--json` names."""

import os
from pathlib import Path

from script.support.errors import StackError


def output_file(given: Path | None) -> Path | None:
    """Return the file as the directory that the command was called from has it; None where none is given.

    Raises:
        StackError: its directory does not exist; better reported before the work than after it.
    """
    if given is None:
        return None
    file = Path(os.environ.get("STRAIGHTLINE_CALLED_FROM", "."), given).absolute()
    if not file.parent.is_dir():
        raise StackError(f"--json {given}: there is no directory {file.parent}")
    return file
