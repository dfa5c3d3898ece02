"""What a command gives back."""

import msgspec


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a command prints, and its exit code.

    Attributes:
        text: for people.
        record: the same for programs, printed with `--json`.
        code: the exit code.
    """

    text: str
    record: object
    code: int = 0
