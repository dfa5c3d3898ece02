"""A worker process for the tests: makes the backend, asks the probe once, says so, and waits to be ended."""

import os
import signal
import sys
from threading import Event

from tests.integration.containers.bundles import PROBE, tell
from workers.backends.gpu_container import create


def main() -> None:
    """Say `ready`, and close the backend on SIGTERM."""
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    backend = create(os.environ)
    backend.infer(PROBE, tell("hello"), 60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended.wait()
    backend.close()


if __name__ == "__main__":
    main()
