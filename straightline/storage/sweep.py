"""Removing from a store what nobody needs any more: results past their retention, orphaned inputs."""

import time
from typing import Final

import msgspec

from straightline.errors import ConfigurationError
from straightline.storage.store import FRESH_S, Store

MIN_AGE_S: Final = 2 * FRESH_S
"""Seconds; what is younger may have been referred to again without being written again."""


class SweepReport(msgspec.Struct, kw_only=True):
    """What a sweep did: `removed` and `kept` files, and their bytes."""

    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0


def sweep(store: Store, older_than: float, *, dry_run: bool = False, now: float | None = None) -> SweepReport:
    """Remove what clients and workers put into a store so long ago; what others keep there is left alone.

    Memory stays flat however much there is. A sweep that broke off is mended by the next one.

    Args:
        store: the store.
        older_than: seconds; longer than the longest deadline and than results are to be kept.
        dry_run: count, and remove nothing.
        now: seconds since the epoch; None asks the clock.

    Raises:
        ConfigurationError: `older_than` is less than two hours.
        StoreUnavailable: the store could not be listed, or something in it not removed.
    """
    if not older_than >= MIN_AGE_S:
        raise ConfigurationError(
            f"what is younger than {MIN_AGE_S / 3600:g} h may still be in use: give a longer time"
        )
    before = (time.time() if now is None else now) - older_than
    swept = SweepReport()
    for kept in store.listing():
        if kept.modified >= before:
            swept.kept += 1
            swept.kept_bytes += kept.size
            continue
        if not dry_run:
            store.discard(kept)
        swept.removed += 1
        swept.removed_bytes += kept.size
    return swept
