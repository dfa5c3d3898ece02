"""`python -m broker_config`: declare StraightLine's exchanges and queues on the broker."""

import argparse
import os
import sys

import msgspec

from broker_config.apply import apply
from straightline.errors import StraightLineError
from straightline.settings import load


class Settings(msgspec.Struct, frozen=True):
    """What this command reads from the environment."""

    broker_url: str


def main() -> int:
    """Run the command; 0 when the topology stands, 1 with one line when it does not."""
    parser = argparse.ArgumentParser(prog="python -m broker_config", description=__doc__)
    parser.parse_args()
    try:
        apply(load(Settings, os.environ).broker_url)
    except StraightLineError as error:
        print(f"broker_config: {error}", file=sys.stderr)
        return 1
    print("The exchanges and queues stand.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
