"""One webhook over HTTP: no redirects, bounded in time and size, to the address that was checked."""

import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError

from gateway.webhooks.address import Target, resolve
from straightline.errors import ContractError

SOCKET_TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=10.0)
TOTAL_TIMEOUT_S: Final = 20.0
"""Seconds for all of it: a receiver that says one byte at a time is patient for longer than we are."""
GONE: Final = 410
"""The receiver wants no more."""


class DeliveryFailed(Exception):  # noqa: N818 - it is an answer, not an error
    """The receiver did not say 2xx; the message says why.

    Attributes:
        final: whether it will never do.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


def _pool(target: Target) -> urllib3.HTTPConnectionPool:
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(target.address, target.port, timeout=SOCKET_TIMEOUT)
    return urllib3.HTTPSConnectionPool(
        target.address,
        target.port,
        timeout=SOCKET_TIMEOUT,
        server_hostname=target.host,
        assert_hostname=target.host,
    )


@contextmanager
def _total_timeout(pool: urllib3.HTTPConnectionPool, seconds: float) -> Iterator[None]:
    """End the pool's connections after a time; their own time-outs start anew with every byte."""
    made: list[Any] = []
    connect: Any = pool.ConnectionCls

    def kept(*args: Any, **options: Any) -> Any:
        made.append(connect(*args, **options))
        return made[-1]

    def cut() -> None:
        for connection in made:
            with suppress(OSError, AttributeError):  # it has none, or is closed
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes who waits for it, as closing does not

    pool.ConnectionCls = kept  # type: ignore[assignment]  # it is called, no more
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def send(url: str, body: bytes, headers: dict[str, str], trusted: Collection[str]) -> None:
    """Post a webhook.

    Raises:
        NotTaken: it was not taken.
    """
    try:
        target = resolve(url, trusted)
    except ContractError as error:
        raise DeliveryFailed(str(error), final=True) from error
    except OSError as error:
        raise DeliveryFailed(f"the host cannot be looked up: {error}") from error
    sent = {
        **headers,
        "Host": target.host if target.port in (80, 443) else f"{target.host}:{target.port}",
        "Content-Type": "application/json",
        "User-Agent": "straightline-webhooks",
    }
    try:
        with _pool(target) as pool, _total_timeout(pool, TOTAL_TIMEOUT_S):
            answer = pool.request(
                "POST",
                target.path,
                body=body,
                headers=sent,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            status = answer.status
            answer.close()  # what it says beside the status is nobody's
    except HTTPError as error:
        raise DeliveryFailed(f"{type(error).__name__}: it could not be reached in time") from error
    if not 200 <= status < 300:
        raise DeliveryFailed(f"it answered {status}", final=status == GONE)
