"""`straightline cancel`: cancellation of a request."""

import argparse
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from straightline.cli.command import add_command, add_request_id, print_json, seconds
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
    "noted": "is in progress: it will be cancelled unless a result arrives first",
    "ended": "had already ended",
    "unknown": "is unknown to the scheduler: it will be cancelled if it arrives or waits in a pool",
    None: "will be cancelled: the broker confirmed the cancellation, no scheduler has answered yet",
}


class Settings(msgspec.Struct, frozen=True):
    """Environment variables of the command when it uses the broker."""

    broker_url: str


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "cancel",
        help="cancel a request",
        description="Cancel a request that has not ended. Sends the cancellation to the broker at "
        "STRAIGHTLINE_BROKER_URL, or without that variable to the gateway at STRAIGHTLINE_GATEWAY_URL. If "
        "both are set and the scheduler does not report an end, queries the gateway for it.",
        example="straightline cancel 0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10",
        json="print JSON: {id, verdict}, or the gateway's status",
    )
    add_request_id(parser)
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="S",
        help="seconds to wait for the scheduler's answer (default: 5)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the cancellation and print its result.

    Raises:
        StraightLineError: as `Client.cancel` or `GatewayClient.delete`.
    """
    if environ.get("STRAIGHTLINE_BROKER_URL"):
        _cancel_by_broker(arguments, environ)
    else:
        _cancel_by_gateway(arguments, environ)
    return SUCCEEDED


def _cancel_by_broker(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    from straightline.client import Client  # noqa: PLC0415 - other commands need no broker

    with Client(load(Settings, environ).broker_url, confirm_timeout=10.0) as client:
        verdict = client.cancel(arguments.id, arguments.timeout)
    if verdict not in {"cancelled", "ended"}:
        verdict = _recorded_end(arguments, environ) or verdict
    if arguments.json:
        print_json({"id": arguments.id, "verdict": verdict})
    else:
        print(f"{arguments.id} {RESULT_TEXTS[verdict]}")


def _recorded_end(arguments: argparse.Namespace, environ: Mapping[str, str]) -> CancelResult | None:
    """Return the end of a request that the scheduler did not report; None if it has none on record.

    A pool sends an outcome to the ledger before it reports the free slot to the scheduler.
    """
    if not environ.get("STRAIGHTLINE_GATEWAY_URL") or arguments.timeout <= 0:
        return None
    try:
        gateway = open_gateway(environ, timeout_s=arguments.timeout)
        state = gateway.get(RequestStatus, "requests", arguments.id).state
    except StraightLineError:  # the broker has confirmed the cancellation; this is extra
        return None
    if state not in get_args(State):
        return None
    return "cancelled" if state == "cancelled" else "ended"


def _cancel_by_gateway(arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
    status = open_gateway(environ).delete(RequestStatus, "requests", arguments.id)
    if arguments.json:
        print_json(status)
    else:
        end = "is being cancelled" if status.cancelling else f"had already ended: {status.state}"
        print(printable(f"{status.id} {end}"))
