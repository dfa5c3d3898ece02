"""Marker in `.straightline/env` that shows whether a shell's variables were sourced from that file.

Without it, a `script/demo` in a shell that has sourced the file would connect to the services of a stack that
may have stopped.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

MARK: Final = "STRAIGHTLINE_UP"
"""Variable added to those of `script/up`: a digest of them, and their names."""


def marked(variables: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with a marker that covers all but those that `environ` already had."""
    ours = {name: value for name, value in variables.items() if environ.get(name) != value}
    return {**variables, MARK: " ".join([_digest(ours), *sorted(ours)])}


def sourced(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the sourced variables, the marker included; empty if one of them was changed."""
    digest, *names = environ.get(MARK, "").split() or [""]
    found = {name: environ[name] for name in names if name in environ}
    return frozenset({MARK, *found}) if _digest(found) == digest else frozenset()


def _digest(variables: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
