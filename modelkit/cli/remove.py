"""`python -m modelkit remove`: take a version away, or a whole model."""

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult
from modelkit.deployment.errors import NotPlaced
from modelkit.deployment.target import DeploymentTarget
from outcomes.db.errors import CommitUncertain
from straightline.contracts import DeployedVersion
from straightline.errors import BrokerUnavailable
from straightline.names import BACKENDS, Backend
from straightline.settings import load

_log: Final = logging.getLogger(__name__)


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "remove",
        run,
        summary="take a version of a model away, or the whole model",
        more="Requests stop first; then its files, function and image go. The default and the canary stay: "
        "roll back, or deploy another version, before.",
    )
    parser.add_argument("model", help="its name")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", nargs="?", help="of it")
    which.add_argument("--all", action="store_true", help="every version, and the model's name with them")
    parser.add_argument(
        "--grace",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="for requests on their way, before anything is taken away (default: %(default)g)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Remove.

    Raises:
        RegistryRefused: it is not there, or requests go to it.
        NotPlaced: a place did not let it go; the message says which.
        BrokerUnavailable: it is out of the registry, and not everybody knows; the message says what is left.
        StraightLineError: the ledger or the broker cannot be reached.
    """
    from modelkit.deployment.announce import announce, current_operator  # noqa: PLC0415
    from modelkit.deployment.builder import Builder, build_targets, kit_settings  # noqa: PLC0415
    from modelkit.deployment.settings import DeploySettings, broker_url, database  # noqa: PLC0415
    from outcomes.db.database import connected  # noqa: PLC0415
    from outcomes.registry.checks import deployment_lock  # noqa: PLC0415
    from outcomes.registry.deployments import take_out  # noqa: PLC0415
    from outcomes.registry.registry import deployed_versions  # noqa: PLC0415

    settings, broker = load(DeploySettings, environ), broker_url(environ)
    url, setting = database(environ)
    with (
        connected(url, name="straightline-remove", setting=setting) as connection,
        deployment_lock(connection, arguments.model),
        Builder(kit_settings(environ, None), settings, environ) as builder,
    ):
        found = [
            each.deployed
            for each in deployed_versions(connection, arguments.model)
            if arguments.all or each.version == arguments.version
        ]
        connection.rollback()
        backends = tuple(each for each in BACKENDS if any(each in version.spec.backends for version in found))
        # Made before the registry forgets the version: with a wrong setting nobody could name what is left.
        targets = build_targets(backends, builder, settings, environ)
        left = _describe_leftovers(found, settings.models_dir)
        try:
            deployed, gone = take_out(connection, arguments.model, arguments.version, who=current_operator())
            announce(broker, deployed)
            time.sleep(max(0.0, arguments.grace))
        except (BrokerUnavailable, CommitUncertain) as error:
            raise type(error)(
                f"{error}. Once it is gone everywhere, remove by hand what is left: {left}"
            ) from error
        except KeyboardInterrupt:
            _log.warning(
                "it was interrupted: where it is out of the registry, remove by hand what is left: %s", left
            )
            raise
        _remove_from_targets(targets, gone)
    names = [version.spec.version for version in gone]
    return CommandResult(
        text=f"{arguments.model} {', '.join(names)} is removed",
        record={"model": arguments.model, "removed": names, "revision": deployed.revision},
    )


def _describe_leftovers(versions: Sequence[DeployedVersion], models: Path) -> str:
    """Say what these versions have in their places."""
    named = []
    for version in versions:
        spec = version.spec
        if (models / spec.name / spec.version).is_dir():
            named.append(f"the directory {models / spec.name / spec.version}")
        if version.function is not None:
            named.append(f"the function {version.function.partition(':')[0]}")
        if version.image is not None:
            named.append(f"the image {version.image}")
    return ", ".join(named) or "nothing"


def _remove_from_targets(
    targets: Mapping[Backend, DeploymentTarget], gone: Sequence[DeployedVersion]
) -> None:
    """Take versions away from where they are; where one place does not let go, the others do.

    Raises:
        NotPlaced: a place did not.
    """
    left = []
    for version in gone:
        for backend in version.spec.backends:
            try:
                targets[backend].remove(version)
            except NotPlaced as error:
                left.append(f"{backend}: {error}")
    if left:
        raise NotPlaced(
            "it is out of the registry, and no request goes there; but this is left, remove it by hand: "
            + "; ".join(left)
        )
