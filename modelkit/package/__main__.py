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
    image = forms.add_parser(
        "image", help="a Docker image, built by the engine of DOCKER_HOST without a network"
    )
    image.add_argument("--bundle", type=Path, required=True, help="directory of the bundle")
    image.add_argument("--base", required=True, help="image to build on; it has python3 with venv")
    image.add_argument(
        "--wheelhouse", type=Path, required=True, help="directory of wheels (`pip download`) for its Python"
    )
    image.add_argument("--tag", required=True, help="name of the image, straightline/<model>:<version>")
    image.add_argument("--requirements", type=Path, help="other pinned packages than requirements/serve.txt")
    options = parser.parse_args(arguments)
    try:
        print(_package(options))
    except StraightLineError as error:
        print(f"modelkit.package: {error}", file=sys.stderr)
        return 1
    return 0


def _package(options: argparse.Namespace) -> str:
    if options.form == "function":
        return str(package_function(options.bundle, options.out, memory=options.memory))
    from modelkit.package.image import REQUIREMENTS, package_image  # noqa: PLC0415 - Docker's SDK for this alone

    return package_image(
        options.bundle,
        base=options.base,
        wheelhouse=options.wheelhouse,
        tag=options.tag,
        requirements=options.requirements or REQUIREMENTS,
    )


if __name__ == "__main__":
    sys.exit(main())
