"""The commands of `python -m gateway`."""

import argparse
import os
import sys
from collections.abc import Sequence

from gateway.batches import service as batches
from gateway.celery_adapter import service
from gateway.http import preflight
from gateway.webhooks import service as webhooks
from straightline.errors import StraightLineError
from straightline.settings import load
from straightline.support import logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 after SIGTERM; 1 with one line on stderr if it cannot start; 2 for a wrong command line.
    """
    asked = _parser().parse_args(arguments)
    try:
        logs.set_up(asked.component)
        return int(asked.run(asked))
    except StraightLineError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1


def _celery(_asked: argparse.Namespace) -> int:
    service.serve(load(service.AdapterSettings, os.environ))
    return 0


def _webhooks(_asked: argparse.Namespace) -> int:
    webhooks.serve(load(webhooks.WebhookSettings, os.environ))
    return 0


def _batches(_asked: argparse.Namespace) -> int:
    batches.serve(load(batches.BatchSettings, os.environ))
    return 0


def _http(_asked: argparse.Namespace) -> int:
    preflight.check(os.environ)
    settings = "python:gateway.http.gunicorn_conf"
    # Replace this process, so that gunicorn receives its signals and sets its exit status.
    os.execv(  # noqa: S606 - no shell is needed
        sys.executable,
        [sys.executable, "-m", "gunicorn", "-c", settings, "gateway.http.app:create()"],
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="Run one of the gateway's processes, until SIGTERM. Settings come from the environment.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    http = commands.add_parser("http", help="serve the HTTP interface (/v2, /v1) with gunicorn")
    http.set_defaults(run=_http, component="gateway")
    hooks = commands.add_parser("webhooks", help="deliver webhooks for ended requests and batch jobs")
    hooks.set_defaults(run=_webhooks, component="webhooks")
    jobs = commands.add_parser("batches", help="run the batch jobs submitted over HTTP")
    jobs.set_defaults(run=_batches, component="batches")
    celery = commands.add_parser(
        "celery",
        help="run tasks of Celery producers as requests and send them the results",
    )
    celery.set_defaults(run=_celery, component="celery-adapter")
    return parser
