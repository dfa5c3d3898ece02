"""Send one request with pika alone, and wait for its outcome.

    pip install pika
    python request.py [IDEMPOTENCY_KEY]

Exit codes: 0 answered, 1 refused or ended otherwise, 3 no broker, or it did not take the request or went
away, 4 no outcome yet. After 3 and 4 the same key asks again, and nothing is computed twice.
"""

import json
import os
import secrets
import sys
import time
import uuid
from typing import Any

import pika

KEYS = uuid.UUID("6f0e4f4c-4d5b-5d0a-9f0b-8c6f2d1c9a10")
PATIENCE = 30.0  # seconds


def id_of(key: str | None) -> str:
    """Return the id of an own key, the same each time; without a key a new UUIDv7."""
    if key:
        return str(uuid.uuid5(KEYS, key))
    milliseconds = int(time.time() * 1000)
    bits = milliseconds << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 7 << 76  # the version
    return str(uuid.UUID(int=bits & ~(0x3 << 62) | 2 << 62))  # the variant


def request_of(ident: str) -> dict[str, Any]:
    """Return what is asked."""
    now = time.time()
    image = {"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
    return {
        "id": ident,
        "model": "digits",
        "class": "interactive",
        "submitted_at": now,
        "deadline": now + PATIENCE,
        "data": {"inputs": [image]},
    }


def ask(connection: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    """Publish a request and return its outcome; None where none came in time."""
    # Only this connection sees the queue, and it goes with it. Its name is its address.
    inbox = connection.channel()
    mine = f"straightline.reply.{secrets.token_hex(12)}"
    inbox.queue_declare(mine, exclusive=True, auto_delete=True)
    inbox.queue_bind(mine, "straightline.replies", routing_key=mine)

    outbox = connection.channel()
    outbox.confirm_delivery()  # from here on basic_publish returns when the broker has it safe, or raises
    outbox.basic_publish(
        "straightline.requests",
        request["class"],
        json.dumps(request).encode(),
        pika.BasicProperties(
            type="straightline.request.v1",
            content_type="application/json",
            delivery_mode=2,
            message_id=request["id"],
            correlation_id=request["id"],
            reply_to=mine,
        ),
        mandatory=True,
    )
    end = time.monotonic() + PATIENCE
    for _method, properties, body in inbox.consume(
        mine, auto_ack=True, exclusive=True, inactivity_timeout=1.0
    ):
        if body is not None and properties.correlation_id == request["id"]:
            outcome: dict[str, Any] = json.loads(body)
            return outcome
        if time.monotonic() > end:
            break
    return None


def main() -> int:
    """Ask, and tell what came of it."""
    request = request_of(id_of(sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["STRAIGHTLINE_BROKER_URL"]))
        outcome = ask(connection, request)
        connection.close()
    except (pika.exceptions.AMQPError, OSError) as error:  # returned, refused, or the connection was lost
        print(f"{request['id']} was not taken, or is not heard of: {error!r}", file=sys.stderr)
        return 3
    if outcome is None:
        print(f"{request['id']} has no outcome yet", file=sys.stderr)
        return 4
    if outcome["state"] != "succeeded":  # failed, rejected, expired, cancelled
        print(outcome["state"], outcome.get("error_class"), outcome.get("error"), file=sys.stderr)
        return 1
    # A large result is not in the message: `result_ref` says where it lies.
    print("succeeded", json.dumps(outcome.get("result") or outcome["result_ref"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
