"""Reads logged events in tests."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from straightline.support.event_log import Event, Field


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[Mapping[str, Field]]:
    """Return the fields of each event of this name that the test logged."""
    messages = [record.msg for record in caplog.records]
    return [message.fields for message in messages if isinstance(message, Event) and message.name == event]


def logged_lines(lines: str | Iterable[str], *events: str) -> list[dict[str, Any]]:
    """Return each event of these names from a process's log, which may hold lines of other forms."""
    lines = lines.splitlines() if isinstance(lines, str) else lines
    found = (json.loads(line) for line in lines if line.startswith('{"ts":') and line.rstrip().endswith("}"))
    return [each for each in found if each["event"] in events]
