"""Send one request with pika alone and wait for its outcome.

    pip install pika
    python request.py [IDEMPOTENCY_KEY]

Exit codes: 0 succeeded, 1 ended otherwise, 3 not confirmed by the broker or connection lost, 4 no outcome in
time. After 3 and 4 run again with the same key: the request is computed once.
"""

import json
import os
import secrets
import sys
import time
import uuid
from typing import Any

import pika

KEY_NAMESPACE = uuid.UUID("6f0e4f4c-4d5b-5d0a-9f0b-8c6f2d1c9a10")
TIMEOUT_S = 30.0


def request_id(key: str | None) -> str:
    """Return the UUIDv5 of a key, or a new UUIDv7 without one."""
    if key:
        return str(uuid.uuid5(KEY_NAMESPACE, key))
    milliseconds = int(time.time() * 1000)
    bits = milliseconds << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 7 << 76  # the version
    return str(uuid.UUID(int=bits & ~(0x3 << 62) | 2 << 62))  # the variant


def build_request(ident: str) -> dict[str, Any]:
    """Build a request to the model `digits`."""
    now = time.time()
    image = {"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}
    return {
        "id": ident,
        "model": "digits",
        "class": "interactive",
        "submitted_at": now,
        "deadline": now + TIMEOUT_S,
        "data": {"inputs": [image]},
    }


def send(connection: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    """Publish a request and return its outcome, or None after the time-out."""
    # An exclusive queue belongs to this connection and is deleted with it. Its name is the reply address.
    inbox = connection.channel()
    reply_queue = f"straightline.reply.{secrets.token_hex(12)}"
    inbox.queue_declare(reply_queue, exclusive=True, auto_delete=True)
    inbox.queue_bind(reply_queue, "straightline.replies", routing_key=reply_queue)

    outbox = connection.channel()
    outbox.confirm_delivery()  # basic_publish now returns when the broker has confirmed, or raises
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
            reply_to=reply_queue,
        ),
        mandatory=True,
    )
    give_up_at = time.monotonic() + TIMEOUT_S
    for _method, properties, body in inbox.consume(
        reply_queue, auto_ack=True, exclusive=True, inactivity_timeout=1.0
    ):
        if body is not None and properties.correlation_id == request["id"]:
            outcome: dict[str, Any] = json.loads(body)
            return outcome
        if time.monotonic() > give_up_at:
            break
    return None


def main() -> int:
    """Send a request and print its result."""
    request = build_request(request_id(sys.argv[1] if len(sys.argv) > 1 else None))
    try:
        connection = pika.BlockingConnection(pika.URLParameters(os.environ["STRAIGHTLINE_BROKER_URL"]))
        outcome = send(connection, request)
        connection.close()
    except (pika.exceptions.AMQPError, OSError) as error:  # returned, refused or connection lost
        print(f"{request['id']} was not confirmed, or the connection was lost: {error!r}", file=sys.stderr)
        return 3
    if outcome is None:
        print(f"{request['id']} has no outcome yet: run again with the same key", file=sys.stderr)
        return 4
    if outcome["state"] != "succeeded":  # failed, rejected, expired, cancelled
        print(outcome["state"], outcome.get("error_class"), outcome.get("error"), file=sys.stderr)
        return 1
    # A large result is in the store: `result_ref` is its location.
    print("succeeded", json.dumps(outcome.get("result") or outcome["result_ref"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
