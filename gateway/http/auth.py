"""API keys, cached so that callers with a known key keep working while the ledger is down."""

import threading
import time
from collections.abc import Callable
from typing import Final

from flask import request

from gateway.http.rendering.problems import RETRY_AFTER_S, ApiError, ledger_unavailable_detail
from outcomes.db.errors import LedgerNotMigrated, LedgerUnavailable
from outcomes.queries.keys import Key, Scope, digest_of
from straightline.support.bounded_dict import BoundedDict

MAX_CACHED_KEYS: Final = 10_000
"""Cached keys, unknown ones included; above it the oldest are dropped."""

STALE_KEY_TTL_S: Final = 5.0
"""Time for which a cached key is used without another look-up after the ledger did not answer."""

FindKey = Callable[[str], Key | None]
"""Looks up a key by its digest."""


class KeyAuthenticator:
    """Authenticates HTTP requests by API key. Thread-safe.

    Args:
        find: looks up a key in the ledger.
        ttl_s: seconds for which a key is cached.
    """

    def __init__(self, find: FindKey, *, ttl_s: float) -> None:
        self._find = find
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._known: BoundedDict[str, tuple[float, Key | None]] = BoundedDict(MAX_CACHED_KEYS)
        self._asking: set[str] = set()

    def require(self, scope: Scope) -> Key:
        """Return the key of the current HTTP request.

        Raises:
            ApiError: the key is missing, unknown, revoked, expired or without `scope`, or an unknown key
                cannot be looked up now.
        """
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text.strip():
            raise ApiError(401, "no_key", "send an API key: `Authorization: Bearer KEY`")
        key = self._look_up(digest_of(text.strip()))
        if key is None or key.ended(time.time()):
            raise ApiError(401, "wrong_key", "the API key is unknown, revoked or expired")
        if scope not in key.scopes:
            text = f"the API key {key.name!r} does not have the scope {scope!r}: use one that does"
            raise ApiError(403, "forbidden", text)
        return key

    def _look_up(self, digest: str) -> Key | None:
        now = time.monotonic()
        with self._lock:
            until, key = self._known.get(digest, (0.0, None))
            # While the ledger hangs, one request refreshes a cached key and the others use it as it is.
            if until > now or (key is not None and digest in self._asking):
                return key
            self._asking.add(digest)
        good_for = self._ttl_s
        try:
            found = self._find(digest)
        except (LedgerUnavailable, LedgerNotMigrated) as error:
            if key is None:
                why = ledger_unavailable_detail(error) if isinstance(error, LedgerUnavailable) else str(error)
                text = f"the API key cannot be looked up: {why}"
                raise ApiError(503, "keys_unavailable", text, retry_after=RETRY_AFTER_S) from error
            found = key  # a stale key is better than rejecting every caller
            good_for = min(good_for, STALE_KEY_TTL_S)
        finally:
            with self._lock:
                self._asking.discard(digest)
        with self._lock:
            self._known[digest] = (time.monotonic() + good_for, found)
        return found
