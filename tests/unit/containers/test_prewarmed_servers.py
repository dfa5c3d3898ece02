"""Prewarmed model servers, and several servers of one model."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from straightline.contracts import ModelSpec
from straightline.contracts.model import WarmPool as Warmth
from tests.unit.containers.test_pool_on_faults import SmallDriver, ask
from workers.containers.pool.pool import WarmPool
from workers.protocol.errors import BackendFault


@pytest.fixture
def driver() -> SmallDriver:
    return SmallDriver()


def warm(name: str = "one", **options: Any) -> ModelSpec:
    return ModelSpec(name=name, version="1", inputs=(), outputs=(), warm=Warmth(**options))


def settled(pool: WarmPool, size: int) -> None:
    """Wait until this number of servers is ready."""
    deadline = time.monotonic() + 10
    while pool.size() != size or any(slot.warm is None for slot in pool._slots):
        assert time.monotonic() < deadline, f"{pool.size()} servers"
        time.sleep(0.005)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def roomy(driver: SmallDriver, now: list[float]) -> Iterator[WarmPool]:
    made = WarmPool(driver, max_servers=4, idle_timeout=5.0, start_timeout=10.0, busy=2, clock=lambda: now[0])
    yield made
    made.close()


def test_prewarmed_servers_are_started_before_the_first_request(roomy: WarmPool, driver: SmallDriver) -> None:
    roomy.prewarm([warm(minimum=2, maximum=2)])
    roomy.sweep()
    settled(roomy, 2)
    assert ask(roomy, "one") is None
    assert driver.starts == 2


def test_a_prewarmed_server_is_never_idle_until_it_is_released(roomy: WarmPool, now: list[float]) -> None:
    roomy.prewarm([warm(minimum=1)])
    roomy.sweep()
    settled(roomy, 1)
    now[0] = 100.0
    roomy.sweep()
    assert roomy.size() == 1
    roomy.prewarm([])
    roomy.sweep()
    assert roomy.size() == 0


def test_a_dead_prewarmed_server_is_replaced_by_the_next_sweep(roomy: WarmPool, driver: SmallDriver) -> None:
    roomy.prewarm([warm(minimum=1)])
    roomy.sweep()
    settled(roomy, 1)
    (slot,) = roomy._slots
    assert slot.warm is not None
    roomy.discard(slot.warm)
    roomy.sweep()
    settled(roomy, 1)
    assert driver.starts == 2


def test_a_failed_background_start_is_retried_only_after_a_delay(
    roomy: WarmPool, driver: SmallDriver, now: list[float]
) -> None:
    driver.on_start = BackendFault("no such image", error_class="not_deployed")
    roomy.prewarm([warm(minimum=1)])
    for _ in range(5):
        roomy.sweep()
        settled(roomy, 0)
    assert driver.starts == 1
    driver.on_start = None
    now[0] = 30.0
    roomy.sweep()
    settled(roomy, 1)


def test_busy_servers_are_scaled_out_to_the_maximum_without_a_request_waiting(
    roomy: WarmPool, driver: SmallDriver, now: list[float]
) -> None:
    model = warm(maximum=2)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(roomy.lease(model, 10.0))
        driver.go.clear()  # the second one does not become ready yet
        assert held.enter_context(roomy.lease(model, 10.0)).cold_start is None
        driver.go.set()
        settled(roomy, 2)
        for _ in range(5):
            assert held.enter_context(roomy.lease(model, 10.0)).cold_start is None
        settled(roomy, 2)
        assert sorted(slot.users for slot in roomy._slots) == [4, 4]
    now[0] = 5.0
    roomy.sweep()
    assert roomy.size() == 0


def test_a_model_has_one_server_by_default(roomy: WarmPool, driver: SmallDriver) -> None:
    with ExitStack() as held:
        for _ in range(9):
            held.enter_context(roomy.lease(warm(), 10.0))
    assert driver.starts == 1


def test_a_full_pool_evicts_servers_above_the_minimum_first(driver: SmallDriver) -> None:
    pool = WarmPool(driver, max_servers=2, idle_timeout=60.0, start_timeout=10.0)
    pool.prewarm([warm("kept", minimum=1)])
    pool.sweep()
    settled(pool, 1)
    ask(pool, "one")
    ask(pool, "other")
    assert {slot.model.name for slot in pool._slots} == {"kept", "other"}
    pool.close()
