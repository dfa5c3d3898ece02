"""`straightline cancel`: take a request back."""

import argparse
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from straightline.cli.command import add_command, print_json, request_id, seconds
from straightline.cli.exit_codes import SUCCEEDED
from straightline.cli.gateway import open_gateway
from straightline.contracts.cancel import CancelResult
from straightline.contracts.http_models import RequestStatus
from straightline.errors import StraightLineError
from straightline.names import State
from straightline.settings import load
from straightline.support.terminal import printable

RESULT_TEXTS: Final[Mapping[CancelResult | None, str]] = {
    "cancelled": "is cancelled",
    "noted": "is on its way: it ends cancelled where it has no answer before",
    "ended": "had its outcome already, which stands",
    "unknown": "is not known here: should it come, or wait in a pool, it ends cancelled",
    None: "will be cancelled: the broker has the wish safe, no scheduler has answered yet",
}


class Settings(msgspec.Struct, frozen=True):
    """What this command reads from the environment, where it does not ask the gateway."""

    broker_url: str


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "cancel",
        help="take a request back",
        description="Take a request back. What has ended stays as it ended, and an unknown id does no harm. "
        "The wish goes to the broker at STRAIGHTLINE_BROKER_URL, or, where that is not set, to the gateway "
        "at STRAIGHTLINE_GATEWAY_URL. Where both are set, and no scheduler knows of its end, the gateway is "
        "asked whether it has ended.",
        json="print JSON: {id, verdict}, or the status that the gateway tells",
    )
    parser.add_argument("id", type=request_id, metavar="ID", help="of the request")
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="seconds to wait for an answer (default 5)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the wish and print what is known of the request.

    Raises:
        StraightLineError: any of what `Client.cancel` or `Gateway.delete` raises.
    """
    if environ.get("STRAIGHTLINE_BROKER_URL"):
        _ask_broker(arguments, environ)
    else:
        _ask_gateway(arguments, environ)
    return SUCCEEDED


def _ask_broker(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    from straightline.client import Client  # noqa: PLC0415 - other commands need no broker

    with Client(load(Settings, environ).broker_url, confirm_timeout=10.0) as client:
        verdict = client.cancel(arguments.id, arguments.timeout)
    if verdict not in {"cancelled", "ended"}:
        verdict = _end_of(arguments, environ) or verdict
    if arguments.json:
        print_json({"id": arguments.id, "verdict": verdict})
    else:
        print(f"{arguments.id} {RESULT_TEXTS[verdict]}")


def _end_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CancelResult | None:
    """Return how a request has ended that no scheduler knows to have; None where it has not, or none tells.

    A pool tells the scheduler of an end when its slot is free, and the ledger before.
    """
    if not environ.get("STRAIGHTLINE_GATEWAY_URL") or arguments.timeout <= 0:
        return None
    try:
        gateway = open_gateway(environ, patience=arguments.timeout)
        state = gateway.get(RequestStatus, "requests", arguments.id).state
    except StraightLineError:  # the wish is safe, whatever is known besides
        return None
    if state not in get_args(State):
        return None
    return "cancelled" if state == "cancelled" else "ended"


def _ask_gateway(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    status = open_gateway(environ).delete(RequestStatus, "requests", arguments.id)
    if arguments.json:
        print_json(status)
    else:
        end = "is being cancelled" if status.cancelling else f"had its outcome already: {status.state}"
        print(printable(f"{status.id} {end}"))
