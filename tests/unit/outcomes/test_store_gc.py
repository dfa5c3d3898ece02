"""The store is swept periodically by any number of processes, through outages."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outcomes.reconciling.store_gc import StoreSweeper
from outcomes.settings import ReconcilerSettings
from straightline.errors import ConfigurationError, StoreUnavailable
from straightline.ids import new_id
from straightline.storage.store import Store

DAY = 86_400.0


def _put(store: Store, folder: Path, age: float) -> Path:
    ref = store.put(new_id().encode(), new_id())
    path = folder / ref.uri.removeprefix(f"{folder.as_uri()}/")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def _while_sweeping(store: Any, done: Callable[[], bool]) -> None:
    """Run two sweepers until the condition holds."""
    sweepers = [StoreSweeper(store, interval=0.01, keep=7 * DAY) for _ in range(2)]
    threads = [threading.Thread(target=sweeper.run) for sweeper in sweepers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    while not done() and time.monotonic() < end:
        time.sleep(0.01)
    for sweeper, thread in zip(sweepers, threads, strict=True):
        sweeper.stop()
        thread.join(10)
        assert not thread.is_alive()
    assert done()


def test_two_sweepers_remove_old_files_and_keep_young_ones(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri())
    old = [_put(store, tmp_path, 8 * DAY) for _ in range(50)]
    young = [_put(store, tmp_path, age) for age in (0.0, DAY, 6.9 * DAY)]
    _while_sweeping(store, lambda: not any(path.exists() for path in old))
    assert all(path.exists() for path in young)


def test_an_unreachable_store_is_retried() -> None:
    class Away:
        asked = 0

        def listing(self) -> Any:
            self.asked += 1
            raise StoreUnavailable("away")

    away = Away()
    _while_sweeping(away, lambda: away.asked > 5)


def test_a_retention_below_the_longest_deadline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_STORE_KEEP"):
        StoreSweeper(Store(tmp_path.as_uri()), interval=1.0, keep=60.0)


def test_the_default_interval_is_an_hour() -> None:
    settings = ReconcilerSettings(broker_url="", database_url="")
    assert (settings.sweep_interval, settings.store_keep, settings.store) == (3600.0, 30 * DAY, None)
