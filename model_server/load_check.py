"""Test load of one bundle: `python -m model_server.load_check BUNDLE`.

It is a separate process, so that a bundle that crashes, exits or hangs does not affect the caller.
"""

import os
import sys
from pathlib import Path

from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine
from straightline.errors import ConfigurationError


def main(bundle: str) -> int:
    """Return 0 if the bundle can be loaded; else 1, with a message on stderr."""
    try:
        load_engine(read_bundle(Path(bundle)))
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the output of this program
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # without waiting for threads that the model started
