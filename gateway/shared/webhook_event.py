"""The body of a webhook call."""

from datetime import UTC, datetime

import msgspec


def event(kind: str, ended: float, data: msgspec.Struct) -> bytes:
    """Encode the event of a request or batch job that has ended.

    Args:
        kind: what ended and how, such as `request.succeeded` or `batch.done`.
        ended: seconds since the epoch.
        data: its status, as `GET` returns it.
    """
    timestamp = datetime.fromtimestamp(ended, UTC).isoformat()
    return msgspec.json.encode({"type": kind, "timestamp": timestamp, "data": data})
