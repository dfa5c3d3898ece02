"""Identification of unreadable messages."""

import hashlib

from scheduler.effects import Delivery
from straightline import names
from straightline.contracts import Ticket
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import find_id
from straightline.errors import ContractError


def body_digest(body: bytes) -> str:
    """Return a digest of the bytes of a message."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def extract_request_id(delivery: Delivery, body: bytes) -> str | None:
    """Return the id of the request in a message; None where it names none, or several."""
    if delivery.queue in names.REQUEST_QUEUES:
        return find_id(body, delivery.message_id)
    try:
        return find_id(bytes(decode(body, Ticket).request), None)
    except ContractError:
        return None
