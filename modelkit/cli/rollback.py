"""`python -m modelkit rollback`: end a canary, or make the default before this one the default."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "rollback",
        run,
        summary="move a model a step back: end its canary, or make the default before this one the default",
        more="It moves at once for every request that comes after; those on their way keep their version. "
        "One step alone is remembered: a second rollback makes that the default again which the first left.",
    )
    parser.add_argument("model", help="its name")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Roll back.

    Raises:
        RegistryRefused: there is nothing to go back to.
        NotPlaced: it is moved, but which functions have instances ready could not be set.
        StraightLineError: the ledger or the broker cannot be reached.
    """
    from modelkit.deployment.announce import announce, current_operator  # noqa: PLC0415
    from modelkit.deployment.provisioned_concurrency import provision_model  # noqa: PLC0415
    from modelkit.deployment.settings import broker_url, database  # noqa: PLC0415
    from outcomes.db.database import connected  # noqa: PLC0415
    from outcomes.registry.deployments import roll_back  # noqa: PLC0415
    from outcomes.registry.registry import read_deployed  # noqa: PLC0415

    broker = broker_url(environ)
    url, setting = database(environ)
    with connected(url, name="straightline-rollback", setting=setting) as connection:
        before = read_deployed(connection).models.get(arguments.model)
        connection.rollback()
        deployed = roll_back(connection, arguments.model, who=current_operator())
    announce(broker, deployed)
    model = deployed.models[arguments.model]
    ended = before.canary if before is not None else None
    was = before.default if before is not None else None
    text = (
        f"the canary {ended} of {arguments.model} has ended; the default is {model.default}"
        if ended is not None
        else f"the default of {arguments.model} is {model.default} again; it was {was}, "
        "and a second rollback would make it so again"
    )
    provision_model(model, text)
    return CommandResult(
        text=text,
        record={
            "model": arguments.model,
            "default": model.default,
            "was": was,
            "ended_canary": ended,
            "revision": deployed.revision,
        },
    )
