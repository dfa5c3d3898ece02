"""`python -m modelkit deploy`: deploy a version of a model."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.options import add_bundle, add_command, chosen_bundle
from modelkit.cli.result import CommandResult
from straightline.contracts.deployed import Deployed
from straightline.names import BACKENDS
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "deploy",
        run,
        summary="deploy a validated bundle and send requests to it",
        description="Deploy a project's validated bundle and make it the default version of its model. The "
        "bundle is tested first in each backend. If a step fails, the deployment is rolled back and the "
        "running versions are not touched. Earlier versions stay deployed for requests that pin them.",
        example="python -m modelkit deploy plane --on local --canary 10",
    )
    add_bundle(parser)
    help_on = "backend to deploy to; repeatable (default: `backends` of model.toml)"
    parser.add_argument("--on", action="append", choices=BACKENDS, help=help_on)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--canary",
        type=_percent,
        metavar="PERCENT",
        help="keep the default version, and send this share of the requests without a version to the new "
        "one; deploy it again without --canary to make it the default",
    )
    kind.add_argument(
        "--no-default",
        action="store_true",
        help="keep the default version; the new one gets only requests that pin it",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Deploy the bundle and announce it.

    Raises:
        StraightLineError: as `chosen_bundle`, `modelkit.deployment.deploy.deploy` and `announce`.
    """
    # Loads the libraries of the ledger.
    from modelkit.deployment.announce import announce, current_operator  # noqa: PLC0415
    from modelkit.deployment.builder import Builder, build_targets, kit_settings  # noqa: PLC0415
    from modelkit.deployment.deploy import DeployOptions, check_backends, deploy  # noqa: PLC0415
    from modelkit.deployment.provisioned_concurrency import provision_model  # noqa: PLC0415
    from modelkit.deployment.settings import DeploySettings, broker_url, database  # noqa: PLC0415

    settings = load(DeploySettings, environ)
    registry, broker = database(environ), broker_url(environ)
    bundle, project = chosen_bundle(arguments)
    wheels = None if project is None else project.build / "packages" / "wheels"
    kit = kit_settings(environ, arguments.wheelhouse)
    with Builder(kit, settings, environ, wheels=wheels) as builder:
        candidate = builder.candidate(bundle)
        options = DeployOptions(
            backends=check_backends(candidate.bundle, tuple(arguments.on or ())),
            share=arguments.canary,
            default=not arguments.no_default,
            who=current_operator(),
        )
        deployed = deploy(
            candidate,
            options,
            targets=build_targets(options.backends, builder, settings, environ),
            database=registry,
            models=settings.models_dir,
            load_check=builder.load_check,
        )
    announce(broker, deployed)
    spec = candidate.bundle.spec
    provision_model(deployed.models[spec.name], f"{spec.name} {spec.version} is deployed")
    return CommandResult(
        text=_describe(deployed, spec.name, spec.version), record=_record(deployed, spec.name, spec.version)
    )


def _record(deployed: Deployed, name: str, version: str) -> dict[str, Any]:
    model = deployed.models[name]
    found = model.versions[version]
    return {
        "model": name,
        "version": version,
        "digest": found.digest,
        "revision": deployed.revision,
        "backends": found.spec.backends,
        "image": found.image,
        "function": found.function,
        "default": model.default,
        "canary": model.canary,
        "share": model.share,
    }


def _describe(deployed: Deployed, name: str, version: str) -> str:
    model = deployed.models[name]
    found = model.versions[version]
    if model.canary == version:
        role = f"the canary, with {model.share:g} % of the requests (default: {model.default})"
    elif model.default == version:
        role = "the default"
    else:
        role = f"only for requests that pin it (default: {model.default})"
    rows = {
        "backends": ", ".join(found.spec.backends),
        "role": role,
        "digest": found.digest,
        "image": found.image,
        "function": found.function,
    }
    lines = [f"  {key:<9} {value}" for key, value in rows.items() if value is not None]
    return "\n".join([f"Deployed {name} {version}.", *lines])


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage between 0 and 100")
    return value
