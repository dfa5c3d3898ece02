"""Knowing `.straightline/env` again in a shell that has sourced it: it tells of one stack, not of the next.

Without this, who followed the README to its end and then asked for another demo would have it look for the
services of the stack that is gone.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

MARK: Final = "STRAIGHTLINE_UP"
"""Variable beside those that `script/up` writes: a digest of them, and their names."""


def marked(variables: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with the mark that makes them known again, but for what `environ` said already."""
    ours = {name: value for name, value in variables.items() if environ.get(name) != value}
    return {**variables, MARK: " ".join([_digest(ours), *sorted(ours)])}


def sourced(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names that `script/up` wrote and nobody has changed since; empty where one was changed."""
    digest, *names = environ.get(MARK, "").split() or [""]
    found = {name: environ[name] for name in names if name in environ}
    return frozenset({MARK, *found}) if _digest(found) == digest else frozenset()


def _digest(variables: Mapping[str, str]) -> str:
    text = "\0".join(f"{name}={value}" for name, value in sorted(variables.items()))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
