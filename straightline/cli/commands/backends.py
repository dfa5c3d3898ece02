"""`straightline backends`: slots and health of each backend."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import BackendEntry, BackendList
from straightline.support.terminal import printable, table

HEADINGS = ("backend", "worker", "slots", "active", "state")


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "backends",
        help="show slots and health of each backend",
        description="Show the slots, running requests and health of each backend and each of its hosts. "
        "A backend's slots are the sum over its healthy hosts." + GATEWAY_NOTE,
        example="straightline backends",
        json="print JSON (schema: backend-list.json)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Query the gateway and print the answer.

    Raises:
        StraightLineError: as `GatewayClient.get`.
    """
    found = open_gateway(environ).get(BackendList, "backends")
    return print_answer(arguments, found, text)


def text(found: BackendList) -> str:
    """Format one row per backend and one per worker."""
    rows = [row for backend in found.backends for row in _rows(backend)]
    return printable(table([HEADINGS, *rows], left=(0, 1, 4)))


def _rows(backend: BackendEntry) -> Iterator[tuple[str, ...]]:
    state = "up" if backend.healthy else "down" if backend.workers else "no pool reports"
    yield (backend.backend, "", str(backend.slots), str(backend.active), state)
    for worker in backend.workers:
        state = "up" if worker.healthy else "down"
        why = f"{state}: {worker.reason}" if worker.reason else state
        yield ("", worker.worker, str(worker.slots), str(worker.active), why)
