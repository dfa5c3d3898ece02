"""`straightline submit`: submission of one request."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from straightline.cli.command import (
    add_command,
    add_confirm_timeout,
    complete_path,
    print_json,
    seconds,
)
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
    """Environment variables of the command.

    Attributes:
        broker_url: `STRAIGHTLINE_BROKER_URL`.
        store: `STRAIGHTLINE_STORE`, for data above 256 KiB; without it data is sent inline.
    """

    broker_url: str
    store: str | None = None


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "submit",
        help="submit one request",
        description="Submit one request to the broker at STRAIGHTLINE_BROKER_URL and print its id, or with "
        "--wait its outcome. Data above 256 KiB is sent through the store at STRAIGHTLINE_STORE, if set.",
        example="straightline submit --model digits --input three.json --wait",
        json="print JSON: {id}, or with --wait the outcome",
    )
    _add_request_options(parser)
    parser.add_argument("--wait", action="store_true", help="wait for the result and print it")
    parser.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that --wait waits (default: 60)"
    )
    add_confirm_timeout(parser)
    parser.set_defaults(run=run)


def _add_request_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="name of the model")
    data = "file with a V2 infer request as JSON; - reads stdin"
    complete_path(parser.add_argument("--input", required=True, metavar="FILE", help=data))
    parser.add_argument(
        "--model-version",
        metavar="VERSION",
        help="version of the model (default: the deployed default or canary)",
    )
    parser.add_argument(
        "--class",
        dest="class_",
        choices=["interactive", "batch"],
        default="interactive",
        help="batch waits for free resources (default: interactive)",
    )
    parser.add_argument(
        "--deadline",
        type=float,
        metavar="S",
        help="seconds until the request expires (default: 60 for interactive, 86400 for batch)",
    )
    parser.add_argument(
        "--allow", action="append", choices=BACKENDS, help="allow this backend; repeatable (default: all)"
    )
    parser.add_argument(
        "--id", help="UUID; submitting it again returns the first outcome (default: a new one)"
    )
    parser.add_argument(
        "--idempotency-key", metavar="KEY", help="text of your own with the same effect, instead of --id"
    )
    parser.add_argument("--batch-id", metavar="ID", help="batch job that the request belongs to")


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Submit the request and print its id or outcome.

    Raises:
        StraightLineError: as `Client.submit` and `Client.result`.
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
        identity = _submit(client, arguments, data)
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


def _submit(client: "Client", arguments: argparse.Namespace, data: bytes) -> str:
    try:
        return client.submit(
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
            _print_id(error.request_id)
        raise


def _result(client: "Client", identity: str, timeout: float) -> Outcome:
    """Return the outcome. An unreadable result is no usage error now: the request was sent.

    Raises:
        ResultTimeout: no outcome arrived in time.
        StoreUnavailable: the result cannot be read here; the message says how to fetch it.
    """
    try:
        return client.result(identity, timeout)
    except StoreUnavailable:
        _print_id(identity)
        raise
    except StoreNotConfigured as error:
        _print_id(identity)
        raise StoreUnavailable(
            f"the request succeeded, but its result is in a store, at {error.uri}. Fetch it from the "
            f"gateway with `straightline result {identity}`; for the next request set STRAIGHTLINE_STORE to "
            f"{root_of(error.uri)}"
        ) from error
    except ContractError as error:
        _print_id(identity)
        raise StoreUnavailable(
            f"the request succeeded, but its result cannot be read here: {error}. Fetch it from the gateway "
            f"with `straightline result {identity}`"
        ) from error


def _print_id(identity: str) -> None:
    print(f"straightline: request id: {identity}", file=sys.stderr)


def _read(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ContractError(f"--input cannot be read: {error}") from error
