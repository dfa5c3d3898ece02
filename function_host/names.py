"""Names and ARNs of functions."""

import re
from typing import Final

_NAME: Final = re.compile(
    r"(?:arn:[^:]+:lambda:[^:]*:[^:]*:function:|\d{12}:function:)?(?P<name>[A-Za-z0-9_-]{1,140})(?::(?:\$LATEST|1))?"
)


def plain_name(name: str) -> str | None:
    """Return the plain name of a function from a name or ARN of the Invoke API; None for anything else.

    The only qualifiers are `$LATEST` and `1`, the published version, which is the same function.
    """
    found = _NAME.fullmatch(name)
    return None if found is None else found["name"]


def arn(name: str) -> str:
    """Return the ARN of a function."""
    return f"arn:aws:lambda:local:000000000000:function:{name}"
