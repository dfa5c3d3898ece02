"""Limits of JSON that lenient decoders accept and stricter ones reject.

A request's `data` is passed on undecoded inside messages with other requests, so it must not contain anything
that a later decoder rejects. Python's `json`, which decodes Celery's messages, has limits of its own.
"""

import re
from typing import Final

MAX_DEPTH: Final = 64
"""Of nesting; Python's decoder fails some hundred levels below its stack limit."""
MAX_DIGITS: Final = 1024
"""In a row; Python rejects integers of more than 4,300."""

_OPENERS_TO_ARRAYS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def limit_violation(body: bytes) -> str | None:
    """Return which limit well-formed JSON exceeds, or None.

    Costs a few passes of C code over the bytes.
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
    """Return whether brackets remain after removing the innermost pairs `MAX_DEPTH` times."""
    brackets = body.translate(_OPENERS_TO_ARRAYS, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
