"""`python -m modelkit remove`: remove a version of a model, or the whole model."""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult
from modelkit.deployment.errors import NotPlaced
from modelkit.deployment.target import DeploymentTarget
from outcomes.db.errors import CommitUncertain
from straightline.contracts import DeployedVersion
from straightline.errors import BrokerUnavailable
from straightline.names import BACKENDS, Backend
from straightline.settings import load


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "remove",
        run,
        summary="remove a version of a model, or the whole model",
        description="Stop the requests to a version, then delete its files, function and image. The default "
        "and the canary cannot be removed alone: roll back or deploy another version first.",
        example="python -m modelkit remove plane 1",
    )
    parser.add_argument("model", help="name of the model")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("version", nargs="?", help="version to remove")
    which.add_argument("--all", action="store_true", help="remove every version and the name of the model")
    parser.add_argument(
        "--grace",
        type=float,
        default=5.0,
        metavar="S",
        help="seconds that requests in progress get before anything is deleted (default: %(default)g)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Remove the version from the registry, announce it, and delete its forms.

    Raises:
        RegistryRefused: the version is not deployed, or still gets requests.
        NotPlaced: a target could not release the version; the message says which.
        BrokerUnavailable: the removal is recorded but not announced; the message lists what is left.
        StraightLineError: the ledger or the broker cannot be reached.
    """
    # Loads the libraries of the ledger.
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
        # Built first, so that a wrong setting is found before the registry forgets the version.
        targets = build_targets(backends, builder, settings, environ)
        with _leftovers_named(_describe_leftovers(found, settings.models_dir)):
            deployed, gone = take_out(connection, arguments.model, arguments.version, who=current_operator())
            announce(broker, deployed)
            time.sleep(max(0.0, arguments.grace))
        _remove_from_targets(targets, gone)
    names = [version.spec.version for version in gone]
    return CommandResult(
        text=f"Removed {arguments.model} {', '.join(names)}",
        record={"model": arguments.model, "removed": names, "revision": deployed.revision},
    )


@contextmanager
def _leftovers_named(left: str) -> Iterator[None]:
    """Name what must be removed by hand if the block fails after the registry was changed."""
    try:
        yield
    except (BrokerUnavailable, CommitUncertain) as error:
        raise type(error)(
            f"{error}. When no process uses the version, remove by hand what is left: {left}"
        ) from error
    except KeyboardInterrupt:
        print(
            f"modelkit: interrupted. If the registry has lost the version, remove by hand: {left}",
            file=sys.stderr,
        )
        raise


def _describe_leftovers(versions: Sequence[DeployedVersion], models: Path) -> str:
    """Return the deployed forms of these versions as text."""
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
    """Remove versions from all their targets, and go on after a target that fails.

    Raises:
        NotPlaced: a target failed.
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
            "the version is removed from the registry and gets no requests, but some of it is left. "
            f"Remove it by hand: {'; '.join(left)}"
        )
