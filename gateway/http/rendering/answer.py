"""JSON responses of the endpoints."""

from typing import Any

import msgspec
from flask import Response


def json_answer(content: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON response.

    Args:
        content: anything that msgspec can encode.
        status: HTTP status.
        headers: further headers.
    """
    return Response(msgspec.json.encode(content), status, headers, mimetype="application/json")
