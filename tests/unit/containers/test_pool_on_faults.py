"""What the pool does when its driver fails; the servers are small but real."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from straightline.contracts import ModelSpec
from workers.containers.pool.driver import Exit
from workers.containers.pool.pool import WarmPool
from workers.protocol.base import Health
from workers.protocol.errors import BackendFault


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class SmallServer:
    """Answers that it is ready; its removal may fail."""

    def __init__(self, trouble: Exception | None) -> None:
        self.title = "a small server"
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._trouble = trouble
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def exit(self) -> Exit | None:
        return None

    def memory_ran_out(self, since: float) -> bool:
        return False

    def last_lines(self) -> str:
        return ""

    def remove(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        if self._trouble is not None:
            raise self._trouble


class SmallDriver:
    """Counts starts; fails on demand."""

    def __init__(self) -> None:
        self.starts = 0
        self.on_start: Exception | None = None
        self.on_remove: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def start(self, model: ModelSpec) -> SmallServer:
        self.starts += 1
        assert self.go.wait(10)
        if self.on_start is not None:
            raise self.on_start
        return SmallServer(self.on_remove)

    def health(self) -> Health:
        return Health(ok=True)

    def models(self) -> list[str] | None:
        return None

    def update_images(self, images: Mapping[tuple[str, str], str]) -> None:
        pass

    def remove_orphans(self) -> list[str]:
        return []

    def close(self) -> None: ...


@pytest.fixture
def driver() -> SmallDriver:
    return SmallDriver()


@pytest.fixture
def pool(driver: SmallDriver) -> Iterator[WarmPool]:
    made = WarmPool(driver, max_servers=1, idle_timeout=60.0, start_timeout=10.0)
    yield made
    made.close()


def model(name: str) -> ModelSpec:
    return ModelSpec(name=name, version="1", inputs=(), outputs=())


def ask(pool: WarmPool, name: str, timeout: float = 10.0) -> float | None:
    with pool.lease(model(name), timeout) as lease:
        return lease.cold_start


@pytest.mark.parametrize(
    "trouble", [BackendFault("the engine is gone", error_class="unreachable"), KeyError("Status")]
)
def test_a_server_that_cannot_be_removed_frees_its_slot(
    pool: WarmPool, driver: SmallDriver, trouble: Exception
) -> None:
    driver.on_remove = trouble
    assert ask(pool, "one") is not None
    driver.on_remove = None
    assert ask(pool, "other") is not None
    assert pool.size() == 1


def test_an_error_in_the_driver_is_an_internal_fault_and_the_next_request_starts_again(
    pool: WarmPool, driver: SmallDriver
) -> None:
    driver.on_start = KeyError("NetworkSettings")
    with pytest.raises(BackendFault) as caught:
        ask(pool, "one")
    assert caught.value.error_class == "internal"
    driver.on_start = None
    assert ask(pool, "one") is not None


def test_all_waiting_requests_get_the_fault_of_their_shared_start(
    pool: WarmPool, driver: SmallDriver
) -> None:
    driver.go.clear()
    driver.on_start = BackendFault("no such image", error_class="not_deployed")
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(ask, pool, "one") for _ in range(4)]
        while pool.users(model("one")) < 4:
            threading.Event().wait(0.005)
        driver.go.set()
        faults = [one.exception(10) for one in waiting]
    assert driver.starts == 1
    assert [str(fault) for fault in faults] == ["no such image"] * 4
    assert len({id(fault) for fault in faults}) == 4
    assert pool.size() == 0


def test_a_server_in_use_is_never_idle(driver: SmallDriver) -> None:
    now = [0.0]
    pool = WarmPool(driver, max_servers=1, idle_timeout=5.0, start_timeout=10.0, clock=lambda: now[0])
    with pool.lease(model("one"), 10.0):
        now[0] = 100.0
        pool.sweep()
        assert pool.size() == 1
    now[0] = 104.9
    pool.sweep()
    assert pool.size() == 1
    now[0] = 105.0
    pool.sweep()
    assert pool.size() == 0
    pool.close()


def test_a_closed_pool_starts_nothing(pool: WarmPool, driver: SmallDriver) -> None:
    pool.close()
    with pytest.raises(BackendFault) as caught:
        ask(pool, "one")
    assert caught.value.error_class == "unreachable"
    assert driver.starts == 0


def test_a_start_without_a_thread_fails_its_request_and_frees_the_slot(
    pool: WarmPool, driver: SmallDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("workers.containers.pool.pool.Thread.start", no_thread)
        with pytest.raises(BackendFault, match="can't start new thread"):
            ask(pool, "a", 0.5)
    assert pool.size() == 0
    assert ask(pool, "a") is not None


def test_a_server_of_a_removed_version_is_removed_before_its_idle_timeout(
    driver: SmallDriver, pool: WarmPool
) -> None:
    ask(pool, "a")
    pool.sweep()
    assert pool.size() == 1
    pool.set_removed_versions(lambda key: key == ("a", "1"))
    with pool.lease(model("a"), 10.0):
        pool.sweep()
        assert pool.size() == 1, "it is in use"
    pool.sweep()
    assert pool.size() == 0
