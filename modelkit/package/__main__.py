"""`python -m modelkit.package`: turn a bundle into what can be deployed."""

import argparse
import sys
from pathlib import Path

from modelkit.package.function import MEMORY_MB, package_function
from straightline.errors import StraightLineError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when the package stands, 1 with one line on stderr when it does not."""
    parser = argparse.ArgumentParser(prog="python -m modelkit.package", description=__doc__)
    forms = parser.add_subparsers(dest="form", required=True)
    function = forms.add_parser("function", help="a serverless function: a directory for the function host")
    function.add_argument("--bundle", type=Path, required=True, help="directory of the bundle")
    function.add_argument("--out", type=Path, required=True, help="directory of packages")
    function.add_argument("--memory", type=int, default=MEMORY_MB, help="limit of an instance in MiB")
    options = parser.parse_args(arguments)
    try:
        print(package_function(options.bundle, options.out, memory=options.memory))
    except StraightLineError as error:
        print(f"modelkit.package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
