"""The result of a command."""

import msgspec


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a command and its exit code.

    Attributes:
        text: printed without `--json`.
        record: printed as JSON with `--json`.
        code: the exit code.
    """

    text: str
    record: object
    code: int = 0
