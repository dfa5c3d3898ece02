"""`python -m modelkit list`: what is deployed, and how often each version fails."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult
from straightline.contracts import FailureRate
from straightline.names import Backend
from straightline.support.durations import duration_argument
from straightline.support.terminal import moment, percent, printable, table

HEADINGS: Final = ("model", "version", "", "on", "outcomes", "failed", "rate", "deployed", "by", "digest")
_DIGEST_DIGITS: Final = 12


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A version that is in place.

    Attributes:
        model, version: what it is.
        role: `default`, `canary`, `previous`, or empty.
        share: percent of the requests without a pin that it gets.
        backends: where it is in place.
        digest, image, function: of its forms.
        deployed_at: seconds since the epoch.
        deployed_by: who put it there.
        rate: how often it failed lately.
    """

    model: str
    version: str
    role: str
    share: float
    backends: tuple[Backend, ...]
    digest: str
    image: str | None
    function: str | None
    deployed_at: float
    deployed_by: str
    rate: FailureRate


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "list",
        run,
        summary="what is deployed, and how often each version failed lately",
        more="The default, the one before it and a canary are marked, with their failure rates side by side.",
    )
    parser.add_argument("model", nargs="?", help="this one alone")
    parser.add_argument(
        "--since",
        type=duration_argument,
        default="1h",
        metavar="T",
        help="how far back: 30s, 15m, 1h, 7d (default 1h)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Ask the registry and the ledger.

    Raises:
        StraightLineError: the ledger cannot be reached.
    """
    from modelkit.deployment.settings import database  # noqa: PLC0415
    from outcomes.db.database import connected  # noqa: PLC0415
    from outcomes.queries.version_rates import version_rates  # noqa: PLC0415
    from outcomes.registry.registry import deployed_versions  # noqa: PLC0415

    since = datetime.now(UTC) - arguments.since
    url, setting = database(environ)
    with connected(url, name="straightline-list", setting=setting) as connection:
        found = deployed_versions(connection, arguments.model)
        rates = version_rates(connection, since, model=arguments.model)
    rows = [
        Row(
            model=each.model,
            version=each.version,
            role=each.role,
            share=each.share,
            backends=each.deployed.spec.backends,
            digest=each.deployed.digest,
            image=each.deployed.image,
            function=each.deployed.function,
            deployed_at=each.deployed_at,
            deployed_by=each.deployed_by,
            rate=rates.get((each.model, each.version), FailureRate(name=each.version)),
        )
        for each in found
    ]
    return CommandResult(
        text=_describe(rows, arguments.model), record={"since": since.timestamp(), "versions": rows}
    )


def _describe(rows: Sequence[Row], model: str | None) -> str:
    if not rows and model is not None:
        return f"No version of {printable(model)} is deployed: `python -m modelkit list` shows what is."
    if not rows:
        return "Nothing is deployed by `python -m modelkit deploy`."
    cells = [
        (
            row.model,
            row.version,
            f"{row.role} {row.share:g} %" if row.share else row.role,
            ", ".join(row.backends),
            str(row.rate.outcomes),
            str(row.rate.outcomes_failed),
            percent(row.rate.failure_rate),
            moment(row.deployed_at) or "",
            row.deployed_by,
            row.digest.removeprefix("sha256:")[:_DIGEST_DIGITS],
        )
        for row in rows
    ]
    return printable(table([HEADINGS, *cells], left=(0, 1, 2, 3, 7, 8, 9)))
