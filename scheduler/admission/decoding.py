"""What can be said of a message that cannot be understood. Pure."""

import hashlib
from typing import Final

import msgspec

from scheduler.effects import Delivery
from straightline import names
from straightline.contracts import Ticket
from straightline.contracts.request import find_id

UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What msgspec raises of a body, deep nesting included."""


def body_digest(body: bytes) -> str:
    """Return a digest of a message's bytes."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def extract_request_id(delivery: Delivery, body: bytes) -> str | None:
    """Return the id of the request that a message is about, None where it names none, or many."""
    if delivery.queue in names.REQUEST_QUEUES:
        return find_id(body, delivery.message_id)
    try:
        return find_id(bytes(msgspec.json.decode(body, type=Ticket).request), None)
    except UNREADABLE:
        return None
