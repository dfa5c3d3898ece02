"""`python -m modelkit rollback`: end a canary, or restore the previous default."""

import argparse
from collections.abc import Mapping
from typing import Any

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult


def register(commands: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        commands,
        "rollback",
        run,
        summary="end a model's canary, or restore its previous default version",
        description="End a model's canary; without a canary, restore the previous default version. New "
        "requests use it at once; requests in progress keep their version. Only one step is remembered, so "
        "that a second rollback undoes the first.",
        example="python -m modelkit rollback plane",
    )
    parser.add_argument("model", help="name of the model")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Roll back the model and announce it.

    Raises:
        RegistryRefused: there is nothing to roll back to.
        NotPlaced: the model is rolled back, but its provisioned concurrency could not be set.
        StraightLineError: the ledger or the broker cannot be reached.
    """
    from modelkit.deployment.announce import announce, current_operator  # noqa: PLC0415
    from modelkit.deployment.provisioned_concurrency import provision_model  # noqa: PLC0415
    from modelkit.deployment.settings import broker_url, database  # noqa: PLC0415
    from outcomes.db.database import connected  # noqa: PLC0415
    from outcomes.registry.deployments import roll_back  # noqa: PLC0415
    from outcomes.registry.registry import read_deployed  # noqa: PLC0415

    broker, (url, setting) = broker_url(environ), database(environ)
    with connected(url, name="straightline-rollback", setting=setting) as connection:
        before = read_deployed(connection).models.get(arguments.model)
        connection.rollback()
        deployed = roll_back(connection, arguments.model, who=current_operator())
    announce(broker, deployed)
    model = deployed.models[arguments.model]
    canary = before.canary if before is not None else None
    previous = before.default if before is not None else None
    text = f"the default of {arguments.model} is {model.default} again; it was {previous}"
    if canary is not None:
        text = f"the canary {canary} of {arguments.model} has ended; the default is {model.default}"
    provision_model(model, text)
    record = {"model": arguments.model, "default": model.default, "was": previous, "ended_canary": canary}
    return CommandResult(text=text[0].upper() + text[1:], record={**record, "revision": deployed.revision})
