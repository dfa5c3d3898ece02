"""What a webhook is sent. Pure."""

from datetime import UTC, datetime

import msgspec


def event(kind: str, ended: float, data: msgspec.Struct) -> bytes:
    """Return the body that tells of an end.

    Args:
        kind: what ended, and how: `request.succeeded`, `batch.done`.
        ended: when, seconds since the epoch.
        data: what `GET` tells of it.
    """
    timestamp = datetime.fromtimestamp(ended, UTC).isoformat()
    return msgspec.json.encode({"type": kind, "timestamp": timestamp, "data": data})
