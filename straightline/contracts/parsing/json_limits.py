"""JSON that is well-formed to a lenient reader and breaks a later one.

A request's `data` travels undecoded inside other messages, beside the requests of others, so it must hold
nothing that any JSON reader on the way refuses: Python's, which reads Celery's messages, has its own limits.
"""

import re
from typing import Final

MAX_DEPTH: Final = 64
"""Levels of nesting; Python's reader gives up some hundred levels below its stack's limit."""
MAX_DIGITS: Final = 1024
"""Digits in a row; Python refuses integers of more than 4,300."""

_OPENERS_TO_ARRAYS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def limit_violation(body: bytes) -> str | None:
    """Say what makes well-formed JSON unfit to travel, or None where nothing does.

    Costs no more than a few passes of C code over the bytes.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            return f"it is not UTF-8: {error.reason} at byte {error.start}"
    if (
        body.count(b"[") + body.count(b"{") > MAX_DEPTH
        and _too_deep(body)
        and _too_deep(_STRING.sub(b"", body))
    ):
        return f"it is nested deeper than {MAX_DEPTH} levels"
    if len(body) > MAX_DIGITS and b"0" * MAX_DIGITS in body.translate(_DIGITS_TO_ZERO):
        return f"it has {MAX_DIGITS} digits or more in a row"
    return None


def _too_deep(body: bytes) -> bool:
    """Tell whether brackets are left when the innermost pairs were taken away so many times."""
    brackets = body.translate(_OPENERS_TO_ARRAYS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
