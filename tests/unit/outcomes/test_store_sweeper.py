"""The store is swept by itself, by as many as like to, and its outage ends nobody."""

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
    """Have two sweep until it is done."""
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


def test_what_is_old_goes_while_two_sweep_and_what_is_not_stays(tmp_path: Path) -> None:
    store = Store(tmp_path.as_uri())
    old = [_put(store, tmp_path, 8 * DAY) for _ in range(50)]
    young = [_put(store, tmp_path, age) for age in (0.0, DAY, 6.9 * DAY)]
    _while_sweeping(store, lambda: not any(path.exists() for path in old))
    assert all(path.exists() for path in young)


def test_a_store_that_is_away_is_tried_again() -> None:
    class Away:
        asked = 0

        def listing(self) -> Any:
            self.asked += 1
            raise StoreUnavailable("away")

    away = Away()
    _while_sweeping(away, lambda: away.asked > 5)


def test_what_may_be_in_use_is_never_swept(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_STORE_KEEP"):
        StoreSweeper(Store(tmp_path.as_uri()), interval=1.0, keep=60.0)


def test_it_is_swept_each_hour_by_default() -> None:
    settings = ReconcilerSettings(broker_url="", database_url="")
    assert (settings.sweep_interval, settings.store_keep, settings.store) == (3600.0, 30 * DAY, None)
