"""`python -m function_host`: run function packages behind AWS Lambda's Invoke API."""

import argparse
import os
import sys
from pathlib import Path

from function_host.server import Server
from function_host.settings import Settings
from straightline.errors import ConfigurationError, StraightLineError
from straightline.settings import load
from straightline.support import logs


def main(arguments: list[str] | None = None) -> int:
    """Run the host until SIGTERM. Return 1, with a message on stderr, if it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m function_host",
        description="Run function packages behind AWS Lambda's Invoke API.",
        epilog="example:\n  python -m function_host --packages packages/functions --port 9001",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--packages", metavar="DIR", help="directory of packages (default: STRAIGHTLINE_FUNCTIONS_PACKAGES)"
    )
    parser.add_argument(
        "--host", help="address to listen on (default: STRAIGHTLINE_FUNCTIONS_HOST, else 127.0.0.1)"
    )
    parser.add_argument("--port", help="port to listen on (default: STRAIGHTLINE_FUNCTIONS_PORT, else 9001)")
    given = {
        f"STRAIGHTLINE_FUNCTIONS_{name.upper()}": value
        for name, value in vars(parser.parse_args(arguments)).items()
        if value is not None
    }
    try:
        settings = load(Settings, os.environ | given, prefix="STRAIGHTLINE_FUNCTIONS_")
        if not Path(settings.packages).is_dir():
            raise ConfigurationError(f"there is no package directory {settings.packages}. Set --packages")
        logs.set_up("function-host")
    except StraightLineError as error:
        print(f"function_host: {error}", file=sys.stderr)
        return 1
    Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
