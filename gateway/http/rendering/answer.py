"""An answer in JSON, as the endpoints give it."""

from typing import Any

import msgspec
from flask import Response


def json_answer(content: Any, status: int = 200, **headers: str) -> Response:
    """Return `content` (whatever msgspec can write) as a response.

    Args:
        content: the body.
        status: of HTTP.
        headers: beside the type of the content.
    """
    return Response(msgspec.json.encode(content), status, headers, mimetype="application/json")
