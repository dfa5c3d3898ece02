"""`straightline backends`: what there is to answer requests, host by host."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from straightline.cli.command import GATEWAY_NOTE, add_command, print_answer
from straightline.cli.gateway import open_gateway
from straightline.contracts.http_models import BackendEntry, BackendList
from straightline.support.terminal import printable, table

HEADINGS = ("backend", "worker", "slots", "active", "state")


def register(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = add_command(
        commands,
        "backends",
        help="what there is to answer requests, host by host",
        description="List the backends with their pools: slots, requests in work, and health of each host. "
        "The slots of a backend are those of its healthy hosts." + GATEWAY_NOTE,
        json="print JSON: backend-list.json of the contracts",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Ask and print.

    Raises:
        StraightLineError: any of what `Gateway.get` raises.
    """
    found = open_gateway(environ).get(BackendList, "backends")
    return print_answer(arguments, found, text)


def text(found: BackendList) -> str:
    """Lay out backends for people, a line for each and one for each of its workers; pure."""
    rows = [row for backend in found.backends for row in _rows(backend)]
    return printable(table([HEADINGS, *rows], left=(0, 1, 4)))


def _rows(backend: BackendEntry) -> Iterator[tuple[str, ...]]:
    state = "up" if backend.healthy else "down" if backend.workers else "no pool reports"
    yield (backend.backend, "", str(backend.slots), str(backend.active), state)
    for worker in backend.workers:
        state = "up" if worker.healthy else "down"
        why = f"{state}: {worker.reason}" if worker.reason else state
        yield ("", worker.worker, str(worker.slots), str(worker.active), why)
