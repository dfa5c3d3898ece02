"""Removal of old files from a store: results past their retention, orphaned inputs."""

import time
from typing import Final

import msgspec

from straightline.errors import ConfigurationError
from straightline.storage.store import FRESH_S, Store

MIN_AGE_S: Final = 2 * FRESH_S
"""A younger file may be referenced again without being written again."""


class SweepReport(msgspec.Struct, kw_only=True):
    """Files removed and kept by a sweep, and their bytes."""

    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0


def sweep(store: Store, older_than: float, *, dry_run: bool = False, now: float | None = None) -> SweepReport:
    """Remove the old files of clients and workers from a store; keep all others.

    Memory use does not grow with the store. The next sweep completes an interrupted one.

    Args:
        store: the store.
        older_than: minimum age in seconds; longer than any deadline and than the retention of results.
        dry_run: whether to count only.
        now: seconds since the epoch; None reads the clock.

    Raises:
        ConfigurationError: `older_than` is less than two hours.
        StoreUnavailable: the store could not be listed, or a file not removed.
    """
    if not older_than >= MIN_AGE_S:
        raise ConfigurationError(
            f"the age is too short: files younger than {MIN_AGE_S / 3600:g} h may be in use. Give more"
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
