"""One webhook over HTTP: no redirects, bounded in time and size, to the address that was checked."""

from collections.abc import Collection
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from gateway.webhooks.address import Target, resolve
from straightline.errors import ContractError

PATIENCE: Final = urllib3.Timeout(connect=5.0, read=10.0)
GONE: Final = 410
"""The receiver wants no more."""


class NotTaken(Exception):  # noqa: N818 - it is an answer, not an error
    """The receiver did not say 2xx; the message says why.

    Attributes:
        final: whether it will never do.
    """

    def __init__(self, why: str, *, final: bool = False) -> None:
        super().__init__(why)
        self.final = final


def _pool(target: Target) -> urllib3.HTTPConnectionPool:
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(target.address, target.port, timeout=PATIENCE)
    return urllib3.HTTPSConnectionPool(
        target.address,
        target.port,
        timeout=PATIENCE,
        server_hostname=target.host,
        assert_hostname=target.host,
    )


def send(url: str, body: bytes, headers: dict[str, str], trusted: Collection[str]) -> None:
    """Post a webhook.

    Raises:
        NotTaken: it was not taken.
    """
    try:
        target = resolve(url, trusted)
    except ContractError as error:
        raise NotTaken(str(error), final=True) from error
    except OSError as error:
        raise NotTaken(f"the host cannot be looked up: {error}") from error
    sent = {
        **headers,
        "Host": target.host if target.port in (80, 443) else f"{target.host}:{target.port}",
        "Content-Type": "application/json",
        "User-Agent": "straightline-webhooks",
    }
    try:
        with _pool(target) as pool:
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
        raise NotTaken(f"{type(error).__name__}: it could not be reached in time") from error
    if not 200 <= status < 300:
        raise NotTaken(f"it answered {status}", final=status == GONE)
