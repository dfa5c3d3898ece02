"""`python -m modelkit deploy`: put a model in place, and let requests go to it."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_server.models.bundle import check_digest
from modelkit.cli.options import add_command, add_project, chosen_project
from modelkit.cli.result import CommandResult
from modelkit.project import assemble
from modelkit.validation import require_validated
from straightline.contracts.deployed import Deployed
from straightline.names import BACKENDS
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "deploy",
        run,
        summary="put a project's validated bundle in place, and let requests go to it",
        more="It is tried first. Where that fails, what was put in place is taken back, and the versions "
        "that run are left alone. Versions stand side by side; a request that pins none gets the default.",
    )
    add_project(parser)
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="a bundle instead of a project; its maker has validated it"
    )
    parser.add_argument("--digest", help="refuse a bundle of another digest than this sha256")
    parser.add_argument(
        "--on",
        action="append",
        choices=BACKENDS,
        help="where, repeatable (default: `backends` of model.toml)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--canary",
        type=_percent,
        metavar="PERCENT",
        help="leave the default, and give this version so much of the requests that pin none; deploy it "
        "again without this to make it the default",
    )
    kind.add_argument(
        "--no-default",
        action="store_true",
        help="leave the default: who pins this version gets it, nobody else",
    )
    parser.add_argument(
        "--wheelhouse", type=Path, metavar="DIR", help="directory of wheels, instead of the setting's"
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Deploy.

    Raises:
        StraightLineError: any of what `modelkit.deployment.deploy.deploy` and `announce` raise.
    """
    # The ledger's libraries are loaded where they are used alone.
    from modelkit.deployment.announce import announce, current_operator  # noqa: PLC0415
    from modelkit.deployment.builder import Builder, build_targets, kit_settings  # noqa: PLC0415
    from modelkit.deployment.deploy import DeployOptions, check_backends, deploy  # noqa: PLC0415
    from modelkit.deployment.provisioned_concurrency import provision_model  # noqa: PLC0415
    from modelkit.deployment.settings import DeploySettings, broker_url, database  # noqa: PLC0415

    settings = load(DeploySettings, environ)
    registry, broker = database(environ), broker_url(environ)
    wheels = None
    if arguments.bundle is not None:
        bundle = arguments.bundle
    else:
        project = chosen_project(arguments)
        bundle, wheels = assemble(project), project.build / "packages" / "wheels"
        require_validated(project, bundle)
    if arguments.digest is not None:
        check_digest(bundle, arguments.digest)
    kit = kit_settings(environ, arguments.wheelhouse)
    with Builder(kit, settings, environ, wheels=wheels) as builder:
        candidate = builder.candidate(bundle)
        backends = check_backends(candidate.bundle, tuple(arguments.on or ()))
        deployed = deploy(
            candidate,
            DeployOptions(
                backends=backends,
                share=arguments.canary,
                default=not arguments.no_default,
                who=current_operator(),
            ),
            targets=build_targets(backends, builder, settings, environ),
            database=registry,
            models=settings.models_dir,
            load_check=builder.load_check,
        )
    announce(broker, deployed)
    spec = candidate.bundle.spec
    text = _describe(deployed, spec.name, spec.version)
    provision_model(deployed.models[spec.name], text)
    return CommandResult(
        text=text,
        record={
            "model": spec.name,
            "version": spec.version,
            "digest": candidate.digest,
            "revision": deployed.revision,
            **_record(deployed, spec.name, spec.version),
        },
    )


def _record(deployed: Deployed, name: str, version: str) -> dict[str, Any]:
    model = deployed.models[name]
    there = model.versions[version]
    return {
        "backends": there.spec.backends,
        "image": there.image,
        "function": there.function,
        "default": model.default,
        "canary": model.canary,
        "share": model.share,
    }


def _describe(deployed: Deployed, name: str, version: str) -> str:
    model = deployed.models[name]
    there = model.versions[version]
    if model.canary == version:
        standing = f"the canary, with {model.share:g} % of the requests; the default is {model.default}"
    elif model.default == version:
        standing = "the default"
    else:
        standing = f"there for requests that pin it; the default is {model.default}"
    lines = [f"{name} {version} is deployed on {', '.join(there.spec.backends)}, and is {standing}"]
    lines.append(f"  digest    {there.digest}")
    if there.image is not None:
        lines.append(f"  image     {there.image}")
    if there.function is not None:
        lines.append(f"  function  {there.function}")
    return "\n".join(lines)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage between 0 and 100")
    return value
