"""`python -m modelkit`: train, validate, package and deploy a model project."""

import signal
import sys
from types import FrameType
from typing import Never

from modelkit.cli import main


def _exit(number: int, _: FrameType | None) -> Never:
    """Unwind the stack, so that a running job is ended and its container removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _exit)
    sys.exit(main())
