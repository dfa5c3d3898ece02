"""`straightline submit`: send one request, and wait for its result where asked."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from straightline.cli.command import add_command, complete_path, print_json, seconds
from straightline.cli.exit_codes import FAILED, SUCCEEDED
from straightline.cli.format import format_outcome
from straightline.contracts.outcome import Outcome
from straightline.errors import BrokerUnavailable, ContractError, StoreNotConfigured, StoreUnavailable
from straightline.names import BACKENDS
from straightline.settings import load
from straightline.storage.store import root_of

if TYPE_CHECKING:
    from straightline.client import Client


class Settings(msgspec.Struct, frozen=True):
    """What the command reads from the environment.

    Attributes:
        broker_url: `STRAIGHTLINE_BROKER_URL`.
        store: `STRAIGHTLINE_STORE`, where data above 256 KiB goes; without it data travels inline.
    """

    broker_url: str
    store: str | None = None


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "submit",
        help="send one request",
        description="Send one request to the broker at STRAIGHTLINE_BROKER_URL. Prints its id, or with "
        "--wait its outcome. Data above 256 KiB goes through the store at STRAIGHTLINE_STORE, when set.",
        json="print JSON: {id}, or with --wait the outcome",
    )
    parser.add_argument("--model", required=True, help="name of the model")
    data = "a V2 infer request as JSON; - reads it from stdin"
    complete_path(parser.add_argument("--input", required=True, metavar="FILE", help=data))
    parser.add_argument("--model-version", metavar="VERSION", help="a version of the model")
    parser.add_argument("--class", dest="class_", choices=["interactive", "batch"], default="interactive")
    parser.add_argument(
        "--deadline", type=float, metavar="S", help="seconds from now after which the answer is of no use"
    )
    parser.add_argument(
        "--allow",
        action="append",
        choices=BACKENDS,
        help="a backend that may answer (repeatable)",
    )
    parser.add_argument("--id", help="UUID that makes sending again safe (default: a new one)")
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="your own word that makes sending again safe, in place of --id",
    )
    parser.add_argument("--batch-id", metavar="ID", help="the batch job it belongs to")
    parser.add_argument("--wait", action="store_true", help="wait for the result and print it")
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that --wait waits (default 60)"
    )
    parser.add_argument(
        "--confirm-timeout",
        type=seconds,
        default=10.0,
        metavar="S",
        help="seconds until the broker counts as unreachable (default 10)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the request and print what comes of it.

    Raises:
        StraightLineError: any of what `Client` raises.
    """
    from straightline.client import Client  # noqa: PLC0415 - other commands need no broker

    settings = load(Settings, environ)
    data = _read(arguments.input)
    with Client(
        settings.broker_url,
        store=settings.store,
        confirm_timeout=arguments.confirm_timeout,
        replies=arguments.wait,
    ) as client:
        try:
            identity = client.submit(
                arguments.model,
                data,
                version=arguments.model_version,
                class_=arguments.class_,
                deadline=arguments.deadline,
                allow=arguments.allow,
                id=arguments.id,
                idempotency_key=arguments.idempotency_key,
                batch_id=arguments.batch_id,
            )
        except BrokerUnavailable as error:
            if error.request_id:
                _tell(error.request_id)
            raise
        if not arguments.wait:
            if arguments.json:
                print_json({"id": identity})
            else:
                print(identity)
            return SUCCEEDED
        outcome = _result(client, identity, arguments.timeout)
    if arguments.json:
        print_json(outcome)
    else:
        print(format_outcome(outcome))
    return SUCCEEDED if outcome.state == "succeeded" else FAILED


def _result(client: "Client", identity: str, timeout: float) -> Outcome:
    """Return the outcome; what goes wrong now is no wrong usage, for the request was sent.

    Raises:
        ResultTimeout: none came in time.
        StoreUnavailable: its result cannot be read here; the message says how else.
    """
    try:
        return client.result(identity, timeout)
    except StoreUnavailable:
        _tell(identity)
        raise
    except StoreNotConfigured as error:
        _tell(identity)
        raise StoreUnavailable(
            f"the request succeeded, and its result lies in a store, at {error.uri}: "
            f"`straightline result {identity}` asks the gateway for it; "
            f"set STRAIGHTLINE_STORE to that store ({root_of(error.uri)}) to have the next one printed here"
        ) from error
    except ContractError as error:
        _tell(identity)
        raise StoreUnavailable(
            f"the request was answered, and its result cannot be read here: {error}; "
            f"`straightline result {identity}` asks the gateway for it"
        ) from error


def _tell(identity: str) -> None:
    print(f"straightline: the request's id is {identity}", file=sys.stderr)


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ContractError(f"the input cannot be read: {error}") from error
