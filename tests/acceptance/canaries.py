"""Secrets and payloads of a running stack, and the places where none of them may stand."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests

from script.support import processes
from tests.faults.harness.leaks import in_arguments, in_logs

CANARY = "CANARY-5d41402abc4b2a76"
"""Stands in the payloads of the requests that are made."""
_URL = re.compile(rb"^STRAIGHTLINE_(?:BROKER|DATABASE)_URL=(.*)$")
_PAGES = (
    *("/api/workers?refresh=1", "/api/tasks", "/api/task/types", "/api/queues/length"),
    *("/workers", "/tasks", "/broker", "/metrics", "/healthcheck"),
)


def held(pids: Iterable[int]) -> dict[str, set[int]]:
    """Return the passwords of broker and database in the environment of processes, and who has them."""
    found: dict[str, set[int]] = {}
    for pid in pids:
        for entry in processes._environment(pid):
            match = _URL.match(entry)
            if match:
                found.setdefault(unquote(urlsplit(match[1].decode()).password or ""), set()).add(pid)
    return found


def leaks(logs: Path, pids: Iterable[int], flower: str, secrets: Iterable[str]) -> Iterator[str]:
    """Say where a secret stands that may stand nowhere.

    Args:
        logs: directory of the stack's logs.
        pids: its processes.
        flower: its URL, with user and password.
        secrets: what to look for.
    """
    secrets = list(secrets)
    yield from in_logs(logs, {}, secrets)
    yield from in_arguments(pids, secrets)
    parts = urlsplit(flower)
    login = (parts.username or "", parts.password or "")
    for page in _PAGES:
        answer = requests.get(f"http://127.0.0.1:{parts.port}{page}", auth=login, timeout=30)
        if any(secret in answer.text for secret in secrets):
            yield f"Flower's {page}"
