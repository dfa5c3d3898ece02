"""`python -m modelkit`: from a model project to what can be deployed."""

import signal
import sys
from types import FrameType
from typing import Never

from modelkit.cli import main


def _end(number: int, _: FrameType | None) -> Never:
    """Unwind, so that a job that runs is ended and its container removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
