"""Valid values of the contracts for tests: each takes the fields that a test is about."""

import json
from typing import Any

import msgspec

from straightline.contracts import Attempt, Heartbeat, Outcome, Reason, Request, Ticket
from straightline.ids import new_id

NOW = 1_790_000_000.0
"""Seconds since the epoch at which these values are made."""


def make_body(**members: Any) -> bytes:
    """The body of a request as a producer writes it; a member that is None is left out."""
    defaults = {"id": new_id(), "model": "digits", "submitted_at": NOW, "data": {"inputs": []}}
    present = {name: value for name, value in {**defaults, **members}.items() if value is not None}
    return json.dumps(present).encode()


def make_request(**members: Any) -> Request:
    return msgspec.json.decode(make_body(**members), type=Request)


def make_ticket(body: bytes | None = None, **fields: Any) -> Ticket:
    """A ticket that was received and not yet placed."""
    body = make_body() if body is None else body
    defaults: dict[str, Any] = {
        "request": msgspec.Raw(body),
        "digest": "d",
        "submitted_at": NOW,
        "received_at": NOW,
        "deadline": NOW + 60,
        "r_d": 13,
    }
    return Ticket(**{**defaults, **fields})


def make_attempt(**fields: Any) -> Attempt:
    """A first attempt that failed on the local pool."""
    defaults: dict[str, Any] = {
        "number": 1,
        "backend": "local",
        "succeeded": False,
        "placed_at": 1.0,
        "started_at": 2.0,
        "finished_at": 3.0,
    }
    return Attempt(**{**defaults, **fields})


def make_outcome(**fields: Any) -> Outcome:
    defaults: dict[str, Any] = {"request_id": new_id(), "state": "succeeded", "finished_at": NOW}
    return Outcome(**{**defaults, **fields})


def make_reason(**fields: Any) -> Reason:
    """The reason of a placement by rule 3 of the empirical policy."""
    defaults: dict[str, Any] = {
        "policy": "empirical",
        "rule": 3,
        "f_t": 1.5,
        "F": 50.0,
        "r_d": 9,
        "D": 100,
        "s_f": True,
        "s_d": False,
    }
    return Reason(**{**defaults, **fields})


def make_heartbeat(**fields: Any) -> Heartbeat:
    """A heartbeat of a healthy local worker with four idle slots."""
    defaults: dict[str, Any] = {
        "backend": "local",
        "worker": "local@test",
        "sent_at": NOW,
        "interval": 1.0,
        "slots": 4,
        "active": 0,
        "healthy": True,
    }
    return Heartbeat(**{**defaults, **fields})
