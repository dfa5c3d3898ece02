"""`python -m modelkit list`: list the deployed versions and their failure rates."""

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from modelkit.cli.options import add_command
from modelkit.cli.result import CommandResult
from straightline.contracts import FailureRate
from straightline.names import Backend
from straightline.support.durations import duration_argument
from straightline.support.terminal import moment, percent, printable, table

if TYPE_CHECKING:
    from outcomes.registry.registry import DeployedVersionInfo

HEADINGS: Final = ("model", "version", "", "on", "outcomes", "failed", "rate", "deployed", "by", "digest")
_DIGEST_DIGITS: Final = 12


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed version.

    Attributes:
        model, version: its names.
        role: `default`, `canary`, `previous`, or empty.
        share: percent of the requests without a version that it gets.
        backends: where it is deployed.
        digest, image, function: its forms.
        deployed_at: seconds since the epoch.
        deployed_by: user and host.
        rate: its failure rate.
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
    """Add the command's parser."""
    parser = add_command(
        commands,
        "list",
        run,
        summary="list the deployed versions and their failure rates",
        description="List the deployed versions of all models, or of one, with their roles (default, "
        "previous default, canary) and recent failure rates.",
        example="python -m modelkit list plane --since 15m",
    )
    parser.add_argument("model", nargs="?", help="name of the model (default: all)")
    parser.add_argument(
        "--since",
        type=duration_argument,
        default="1h",
        metavar="T",
        help="period of the failure rates, such as 30s, 15m, 1h or 7d (default: 1h)",
    )


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CommandResult:
    """Read the registry and the failure rates from the ledger.

    Raises:
        StraightLineError: the ledger cannot be reached.
    """
    # Loads the libraries of the ledger.
    from modelkit.deployment.settings import database  # noqa: PLC0415
    from outcomes.db.database import connected  # noqa: PLC0415
    from outcomes.queries.version_rates import version_rates  # noqa: PLC0415
    from outcomes.registry.registry import deployed_versions  # noqa: PLC0415

    since = datetime.now(UTC) - arguments.since
    url, setting = database(environ)
    with connected(url, name="straightline-list", setting=setting) as connection:
        found = deployed_versions(connection, arguments.model)
        rates = version_rates(connection, since, model=arguments.model)
    rows = [_row(each, rates) for each in found]
    return CommandResult(
        text=_describe(rows, arguments.model), record={"since": since.timestamp(), "versions": rows}
    )


def _row(version: "DeployedVersionInfo", rates: Mapping[tuple[str, str], FailureRate]) -> Row:
    return Row(
        model=version.model,
        version=version.version,
        role=version.role,
        share=version.share,
        backends=version.deployed.spec.backends,
        digest=version.deployed.digest,
        image=version.deployed.image,
        function=version.deployed.function,
        deployed_at=version.deployed_at,
        deployed_by=version.deployed_by,
        rate=rates.get((version.model, version.version), FailureRate(name=version.version)),
    )


def _describe(rows: Sequence[Row], model: str | None) -> str:
    if not rows and model is not None:
        return (
            f"No version of {printable(model)} is deployed. List all models with `python -m modelkit list`."
        )
    if not rows:
        return "No model is deployed. Deploy one with `python -m modelkit deploy`."
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
