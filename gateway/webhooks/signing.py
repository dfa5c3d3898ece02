"""Signatures of Standard Webhooks. Pure.

Source: the Standard Webhooks specification: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; the
secret is base64 behind `whsec_`.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what every secret begins with
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a secret as its owner keeps it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers that let the receiver check who sent a message, and when.

    Args:
        secret: as `new_secret` gives it.
        message_id: the same each time the message is sent.
        timestamp: of this sending, whole seconds since the epoch.
        body: exactly as sent.
    """
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
