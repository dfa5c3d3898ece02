"""Formatters of log records: one JSON object a line, or a line for people."""

import logging
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TypeAlias

import msgspec

from straightline.support.event_log import Event, plain, printable

MAX_TEXT_CHARS: Final = 8000
"""Characters of a traceback, or of a library's message, that are logged."""
FOREIGN_EVENT: Final = "log"
"""The event of a record of a library, which has a message and no name."""

_encode: Final = msgspec.json.Encoder().encode

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]


class JsonFormatter(logging.Formatter):
    """Formats a record as one line: ts, level, component, event, then the fields.

    Args:
        component: the process, such as `recorder`.
    """

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "component": self._component,
        }
        if isinstance(record.msg, Event):
            line["event"] = record.msg.name
            for name, value in record.msg.fields.items():
                line[name] = plain(value)
        else:
            line |= {"event": FOREIGN_EVENT, "logger": record.name, "message": _foreign(record)}
        raised = _raised(record)
        if raised is not None:
            line["error"] = plain(_described(raised[1]))
            line["traceback"] = _traceback(raised)
        return _encode(line).decode()


class TextFormatter(logging.Formatter):
    """Formats a record for people: `time LEVEL component event key=value ...`, then a traceback if any.

    Args:
        component: the process, such as `recorder`.
    """

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end; a traceback follows in indented lines."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        if isinstance(record.msg, Event):
            text = str(record.msg)
        else:
            text = f"{record.name}: {printable(_foreign(record), MAX_TEXT_CHARS)}"
        line = f"{time} {record.levelname} {self._component} {text}"
        raised = _raised(record)
        return line if raised is None else f"{line}\n{_indented(_traceback(raised))}"


def _foreign(record: logging.LogRecord) -> str:
    return printable(record.getMessage(), MAX_TEXT_CHARS, keep="\n")


def _raised(record: logging.LogRecord) -> _Raised | None:
    raised = record.exc_info
    return None if raised is None or raised[0] is None else raised


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(raised: _Raised) -> str:
    """Return the end of the traceback, which names the error."""
    return printable(
        "".join(traceback.format_exception(*raised))[-MAX_TEXT_CHARS:], MAX_TEXT_CHARS, keep="\n"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip("\n").split("\n"))
