"""Log events: a name and fields in place of a sentence."""

import logging
from collections.abc import Mapping
from typing import Final, TypeAlias

MAX_VALUE_CHARS: Final = 500
"""Characters of a field's value that are logged."""

Field: TypeAlias = str | float | BaseException | None
"""A field's value. It is a scalar, so that no payload gets into the log by its structure."""


class Event:
    """The message of a log record. `str` makes it readable in any logging configuration.

    Attributes:
        name: what happened, in snake_case; docs/log-events.md lists all of them.
        fields: the circumstances, by name.
    """

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        self.name = name
        self.fields = fields

    def __str__(self) -> str:
        """Return `name key=value ...`."""
        return " ".join([self.name, *(f"{key}={_quoted(value)}" for key, value in self.fields.items())])


class EventLogger:
    """Logs events through the standard library's logger of a module.

    Args:
        name: the module's `__name__`.
        bound: fields of every event of this logger.
    """

    __slots__ = ("_bound", "_logger")

    def __init__(self, name: str, **bound: Field) -> None:
        self._logger = logging.getLogger(name)
        self._bound = bound

    def bind(self, **fields: Field) -> "EventLogger":
        """Return a logger that adds these fields to every event."""
        return EventLogger(self._logger.name, **self._bound | fields)

    def debug(self, event: str, /, **fields: Field) -> None:
        """Log an event that only explains others."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: Field) -> None:
        """Log an event of normal operation."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: Field) -> None:
        """Log an event that an operator may have to act on."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, *, raised: BaseException | None = None, **fields: Field) -> None:
        """Log an event by which something failed, with the traceback of `raised` if given."""
        self._log(logging.ERROR, event, fields, raised)

    def log(self, level: int, event: str, /, **fields: Field) -> None:
        """Log an event at a level of `logging`."""
        self._log(level, event, fields)

    def exception(self, event: str, /, **fields: Field) -> None:
        """Log an error that is being handled, with its traceback."""
        self._log(logging.ERROR, event, fields, True)

    def _log(
        self, level: int, event: str, fields: dict[str, Field], raised: BaseException | bool | None = None
    ) -> None:
        if self._logger.isEnabledFor(level):
            message = Event(event, self._bound | fields if self._bound else fields)
            self._logger.log(level, message, exc_info=raised, stacklevel=3)


def plain(value: Field) -> str | float | None:
    """Return a value as it is logged: an error as its text; a text bounded and without control characters."""
    if isinstance(value, BaseException):
        value = str(value) or type(value).__name__
    return printable(value) if isinstance(value, str) else value


def printable(text: str, limit: int = MAX_VALUE_CHARS, *, keep: str = "") -> str:
    """Return at most `limit` characters of a text, with escapes for those that would steer a terminal.

    Args:
        text: from anywhere.
        limit: characters; an ellipsis shows that there were more.
        keep: characters that are not escaped, such as line ends.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode()
        for char in text
    )


def _quoted(value: Field) -> str:
    shown = plain(value)
    if not isinstance(shown, str):
        return str(shown)
    if shown and not any(char in ' ="' for char in shown):
        return shown
    escaped = shown.replace('"', '\\"')
    return f'"{escaped}"'
