"""HTTP requests through urllib that follow no redirect."""

import ssl
import urllib.request
from http.client import HTTPResponse
from typing import Any


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def open_url(
    request: urllib.request.Request, timeout_s: float, *, context: ssl.SSLContext | None = None
) -> HTTPResponse:
    """Send a request to the server that it names, and to no other that the server may point to.

    Args:
        request: its URL must be `http` or `https`.
        timeout_s: seconds for each step of the connection.
        context: TLS settings; None takes Python's defaults.

    Raises:
        urllib.error.HTTPError: the status is 300 or above.
        OSError: the server cannot be reached.
    """
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=context))
    response: HTTPResponse = opener.open(request, timeout=timeout_s)
    return response
