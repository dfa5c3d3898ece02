"""`python -m modelkit package`: turn the bundle into what can be deployed."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from model_server.models.bundle import check_digest
from modelkit.cli.options import add_command, add_project, chosen_project
from modelkit.cli.result import CommandResult
from modelkit.package.forms import FORMS, BuildContext, Packages, build_forms
from modelkit.project import assemble
from modelkit.settings import KitSettings
from modelkit.training import write_json
from modelkit.validation import require_validated
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "package",
        run,
        summary="turn a project's validated bundle into forms that can be deployed",
        more="With a wheelhouse nothing is fetched; without one, pip fetches what the lists name, by hash.",
    )
    add_project(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="a bundle instead of a project; its maker has validated it"
    )
    parser.add_argument(
        "--form", action="append", choices=FORMS, help="what to build, repeatable (default: server, function)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="gets models/, functions/ and archives/ (default: packages/ in the build directory)",
    )
    parser.add_argument("--digest", help="refuse a bundle of another digest than this sha256")
    parser.add_argument(
        "--tag", default="straightline/{model}:{version}", help="name of the images (default: %(default)s)"
    )
    parser.add_argument("--base", help="image to build on, instead of the setting's")
    parser.add_argument(
        "--wheelhouse", type=Path, metavar="DIR", help="directory of wheels, instead of the setting's"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Package.

    Raises:
        StraightLineError: any of what `build_forms`, `hold_validated` and `hold_digest` raise.
    """
    settings = load(KitSettings, environ)
    if arguments.wheelhouse is not None:
        settings = msgspec.structs.replace(settings, wheelhouse=arguments.wheelhouse)
    if arguments.base is not None:
        base = arguments.base
        settings = msgspec.structs.replace(settings, base_image=base, nvidia_base_image=base)
    if arguments.bundle is not None:
        bundle, out = arguments.bundle, arguments.out or Path("packages")
    else:
        project = chosen_project(arguments)
        bundle, out = assemble(project), arguments.out or project.build / "packages"
        require_validated(project, bundle)
    if arguments.digest is not None:
        check_digest(bundle, arguments.digest)
    workshop = BuildContext(out=out, settings=settings, environ=environ, tag=arguments.tag)
    packages = build_forms(bundle, tuple(arguments.form or ("server", "function")), workshop)
    if arguments.bundle is None:
        write_json(project.build / "packages.json", packages)
    return CommandResult(text=_describe(packages), record=packages)


def _describe(packages: Packages) -> str:
    lines = [f"{packages.model} {packages.version}, {packages.digest}"]
    return "\n".join(lines + [f"  {form:<14} {place}" for form, place in packages.forms.items()])
