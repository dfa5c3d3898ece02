"""What can be said of a message that cannot be understood. Pure."""

import hashlib

from scheduler.effects import Delivery
from straightline import names
from straightline.contracts import Ticket
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.request import find_id
from straightline.errors import ContractError


def body_digest(body: bytes) -> str:
    """Return a digest of a message's bytes."""
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def extract_request_id(delivery: Delivery, body: bytes) -> str | None:
    """Return the id of the request that a message is about, None where it names none, or many."""
    if delivery.queue in names.REQUEST_QUEUES:
        return find_id(body, delivery.message_id)
    try:
        return find_id(bytes(decode(body, Ticket).request), None)
    except ContractError:
        return None
