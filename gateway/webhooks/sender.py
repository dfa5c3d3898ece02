"""One webhook call: to the checked address, without redirects, bounded in time and size."""

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
"""Limit of a whole call: the socket time-outs start again with every byte."""
GONE: Final = 410
"""Status with which a receiver unsubscribes."""


class DeliveryFailed(Exception):  # noqa: N818 - named for the event
    """The receiver did not answer 2xx; the message says why.

    Attributes:
        final: whether a retry is useless.
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
    """Shut down the connections of a pool after `seconds`."""
    made: list[Any] = []
    connect: Any = pool.ConnectionCls

    def kept(*args: Any, **options: Any) -> Any:
        made.append(connect(*args, **options))
        return made[-1]

    def cut() -> None:
        for connection in made:
            with suppress(OSError, AttributeError):  # not connected, or closed
                connection.sock.shutdown(socket.SHUT_RDWR)  # close() would not wake the reader

    pool.ConnectionCls = kept  # type: ignore[assignment]  # urllib3 only calls it
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
        DeliveryFailed: the receiver did not accept it.
    """
    try:
        target = resolve(url, trusted)
    except ContractError as error:
        raise DeliveryFailed(str(error), final=True) from error
    except OSError as error:
        raise DeliveryFailed(f"the host cannot be resolved: {error}") from error
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
            answer.close()  # the body is not needed
    except HTTPError as error:
        raise DeliveryFailed(f"the receiver could not be reached in time ({type(error).__name__})") from error
    if not 200 <= status < 300:
        raise DeliveryFailed(f"the receiver answered {status}", final=status == GONE)
