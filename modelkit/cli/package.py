"""`python -m modelkit package`: build the deployable forms of a bundle."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelkit.cli.options import add_bundle, add_command, chosen_bundle
from modelkit.cli.result import CommandResult
from modelkit.package.forms import FORMS, BuildContext, Packages, build_forms
from modelkit.settings import KitSettings
from modelkit.training import write_json
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "package",
        run,
        summary="build the deployable forms of a validated bundle",
        description="Build the deployable forms of a project's validated bundle. Python packages are "
        "installed from a wheelhouse without a network; without a wheelhouse, pip downloads them and checks "
        "their hashes.",
        example="python -m modelkit package plane --form server --out packages",
    )
    add_bundle(parser)
    help_form = "form to build; repeatable (default: server and function)"
    parser.add_argument("--form", action="append", choices=FORMS, help=help_form)
    help_out = "directory for models/, functions/ and archives/ (default: packages/ in the build directory)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=help_out)
    parser.add_argument(
        "--tag", default="straightline/{model}:{version}", help="name of the image (default: %(default)s)"
    )
    parser.add_argument(
        "--base",
        help="image to build on (default: STRAIGHTLINE_BASE_IMAGE or STRAIGHTLINE_NVIDIA_BASE_IMAGE)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Build the forms.

    Raises:
        StraightLineError: as `chosen_bundle` and `build_forms`.
    """
    settings = load(KitSettings, environ)
    if arguments.wheelhouse is not None:
        settings = msgspec.structs.replace(settings, wheelhouse=arguments.wheelhouse)
    if arguments.base is not None:
        base = arguments.base
        settings = msgspec.structs.replace(settings, base_image=base, nvidia_base_image=base)
    bundle, project = chosen_bundle(arguments)
    out = arguments.out or (Path("packages") if project is None else project.build / "packages")
    context = BuildContext(out=out, settings=settings, environ=environ, tag=arguments.tag)
    packages = build_forms(bundle, tuple(arguments.form or ("server", "function")), context)
    if project is not None:
        write_json(project.build / "packages.json", packages)
    return CommandResult(text=_describe(packages), record=packages)


def _describe(packages: Packages) -> str:
    lines = [f"Packaged {packages.model} {packages.version}.", f"  {'digest':<14} {packages.digest}"]
    return "\n".join(lines + [f"  {form:<14} {output}" for form, output in packages.forms.items()])
