"""`python -m scheduler`: place requests. A second one is a standby that takes over when the first ends."""

import argparse
import os
import signal
import socket
import sys
import threading

from scheduler.broker.service import Service
from scheduler.settings import Settings
from straightline.errors import StraightLineError
from straightline.models.catalogue import read_catalogue
from straightline.settings import load
from straightline.support import failpoints, logs


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean stop, 2 where a setting is wrong."""
    argparse.ArgumentParser(prog="python -m scheduler", description=__doc__).parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        logs.set_up("scheduler")
        failpoints.configure(os.environ)
        settings = load(Settings, os.environ)
        catalogue = read_catalogue(settings.models_dir)
        service = Service(settings, catalogue, origin=f"scheduler@{socket.gethostname()}")
    except StraightLineError as error:
        print(f"scheduler: {error}", file=sys.stderr)
        return 2
    service.start()
    stop.wait()
    service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
