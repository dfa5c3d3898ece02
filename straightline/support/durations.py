"""Durations written as `30s`, `15m`, `1h` or `7d`."""

import argparse
import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FORM: Final = re.compile(r"([0-9]{1,6})([smhdw])")
MAX_TEXT_CHARS: Final = 32
MAX_DURATION: Final = timedelta(days=3650)


def duration(text: str) -> timedelta:
    """Parse `30s`, `15m`, `1h`, `7d`, `2w`, or several joined as in `1h30m`.

    Raises:
        ValueError: the text is malformed, zero, or longer than ten years.
    """
    parts = _FORM.findall(text)
    problem = ValueError(f"{text!r} is not a duration: write it like 30s, 15m, 1h or 7d, at most ten years")
    if len(text) > MAX_TEXT_CHARS or not parts or "".join(count + unit for count, unit in parts) != text:
        raise problem
    total = sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())
    if not timedelta() < total <= MAX_DURATION:
        raise problem
    return total


def duration_argument(text: str) -> timedelta:
    """Parse a duration from a command-line argument."""
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
