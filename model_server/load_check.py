"""Loading one bundle to see whether it can be: `python -m model_server.load_check BUNDLE`.

It is a program of its own so that a bundle which crashes, exits or hangs harms nobody.
"""

import os
import sys
from pathlib import Path

from model_server.models.bundle import read_bundle
from model_server.models.engine import load_engine
from straightline.errors import ConfigurationError


def main(bundle: str) -> int:
    """Return 0 where it can be loaded; else 1, with one line on standard error."""
    try:
        load_engine(read_bundle(Path(bundle)))
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is what the program is for
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # threads that the model started do not keep it
