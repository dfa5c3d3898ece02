"""Secrets and signatures of Standard Webhooks."""

import base64
import secrets
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a random secret: base64 behind `whsec_`, as receivers configure it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver checks the sender, the content and the time of a message.

    Args:
        secret: as `new_secret` returns it.
        message_id: the same on every attempt.
        timestamp: of this attempt, whole seconds since the epoch.
        body: exactly as sent; JSON in UTF-8.
    """
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body.decode())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
