"""The local form on several hosts: slots add up, and a host that goes takes its own slots alone."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import pytest

from broker_config.apply import apply
from script.docker_engine.engine_packages import install_missing
from script.stack.services import services
from script.support import processes
from script.support.errors import StackError
from script.support.run import Run
from straightline.client import Client
from straightline.contracts import Outcome
from tests.events import logged_lines
from tests.integration.hosts.hosts import ROOT, SLOTS, Host, Network

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

MODEL: Final = """
name = "slow"
version = "1"
flavour = "python"
entry = "slow:predict"
backends = ["local"]
inputs = [{name = "x", datatype = "FP32", shape = [1]}]
outputs = [{name = "y", datatype = "FP32", shape = [1]}]
"""
CODE: Final = """
import time


def predict(tensors):
    time.sleep(0.05)
    return {"y": tensors["x"]}
"""
DATA: Final = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}]}
PATIENCE: Final = 60.0


@dataclass
class Site:
    """Two hosts with the local form, a scheduler on a third one (this machine), and a producer.

    Attributes:
        run: the private directory of all of it.
        hosts: the two.
        url: the producer's URL of the broker.
    """

    run: Run
    hosts: list[Host]
    url: str

    def said(self) -> str:
        """Return what the scheduler has logged."""
        return self.run.log("scheduler").read_text(encoding="utf-8")

    def slots(self) -> int:
        """Return how many slots the scheduler counts, by its own last word."""
        found = [fields for fields in self.membership() if fields["backend"] == "local"]
        return int(found[-1]["slots"]) if found else 0

    def membership(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the changes of workers and slots in the log after this many characters."""
        return logged_lines(self.said()[since:], "worker_left", "worker_joined", "slots_changed")

    def wait(self, slots: int) -> None:
        """Wait until the scheduler counts this number of slots."""
        until(
            lambda: self.slots() == slots, lambda: f"it counts {self.slots()} slots:\n{self.said()[-2000:]}"
        )


class Load:
    """A producer that keeps some requests on their way, for as long as the block lasts."""

    def __init__(self, url: str, *, width: int = 6) -> None:
        self._client = Client(url)
        self._width = width
        self._over = threading.Event()
        self._futures: list[Future[Outcome]] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def sent(self) -> int:
        """Count what was sent."""
        return len(self._futures)

    def wait_for(self, more: int) -> None:
        """Wait until this number of further requests has outcomes."""
        wanted = self._done() + more
        until(lambda: self._done() >= wanted, lambda: f"{self._done()} of {self.sent()} have ended")

    def wait_for_first(self, count: int) -> None:
        """Wait until the first requests, this number of them, have outcomes."""
        first = self._futures[:count]
        until(
            lambda: all(future.done() for future in first),
            lambda: f"{sum(future.done() for future in first)} of {count} have ended",
        )

    def wait_for_worker(self, worker: str) -> None:
        """Wait until that worker has answered something that is sent from now on."""
        sent = self.sent()

        def answered() -> bool:
            return any(
                future.done() and future.result().attempts[-1].worker == worker
                for future in self._futures[sent:]
            )

        until(answered, lambda: f"{worker} answers nothing")

    def outcomes(self) -> list[Outcome]:
        """Stop sending, and return all outcomes."""
        self._over.set()
        self._thread.join()
        return [future.result(PATIENCE) for future in self._futures]

    def _done(self) -> int:
        return sum(future.done() for future in self._futures)

    def _run(self) -> None:
        while not self._over.is_set():
            open_ = self.sent() - self._done()
            if open_ < self._width + SLOTS:  # what a dead host keeps must not stop the others' work
                request = self._client.submit("slow", DATA, deadline=PATIENCE)
                self._futures.append(self._client.future(request))
            self._over.wait(0.02)


def until(condition: Callable[[], bool], otherwise: Callable[[], str], seconds: float = PATIENCE) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {otherwise()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts at work."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces want root")
    run = Run.create(ROOT / ".straightline", stays=False)
    try:
        install_missing(("ip",))
        with Network.laid(run) as network:
            yield _open(run, network, tmp_path_factory.mktemp("site"))
        assert run.name not in _links()
    except StackError as error:
        if os.environ.get("STRAIGHTLINE_TEST_DOCKER") == "required":  # where an engine must run, this can
            raise
        pytest.skip(f"no network namespaces here: {error}")
    finally:
        run.stop()


def _links() -> str:
    """What there is of networks on this machine."""
    commands = (["ip", "netns", "list"], ["ip", "-brief", "link"])
    return "".join(
        subprocess.run(each, capture_output=True, text=True, check=True).stdout for each in commands
    )


def _open(run: Run, network: Network, place: Path) -> Site:
    bundle = place / "slow" / "1"
    bundle.mkdir(parents=True)
    (bundle / "model.toml").write_text(MODEL)
    (bundle / "slow.py").write_text(CODE)
    broker = services.start_broker(run, also=(network.address,))
    apply(broker.url)
    scheduler = {
        "STRAIGHTLINE_BROKER_URL": broker.access.of("scheduler"),
        "STRAIGHTLINE_MODELS_DIR": str(place),
    }
    run.add(
        processes.start(
            "scheduler",
            (sys.executable, "-m", "scheduler"),
            log=run.log("scheduler"),
            cwd=ROOT,
            environment={**os.environ, **scheduler, processes.RUN_VARIABLE: run.name},
        )
    )
    pool = {
        "STRAIGHTLINE_BROKER_URL": broker.access.of("pool-local").replace("127.0.0.1", network.address),
        "STRAIGHTLINE_MODELS_DIR": str(place),
    }
    for _ in range(2):
        network.add(run, pool).start()
    site = Site(run, network.hosts, broker.access.of("producer"))
    site.wait(2 * SLOTS)
    return site


def workers(outcomes: list[Outcome]) -> Counter[str | None]:
    """Count the outcomes by worker."""
    return Counter(outcome.attempts[-1].worker for outcome in outcomes)


def test_both_hosts_work(site: Site) -> None:
    with Load(site.url) as load:
        load.wait_for(60)
        outcomes = load.outcomes()
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    assert workers(outcomes).keys() == {host.worker for host in site.hosts}


@pytest.mark.parametrize("way", ["processes killed", "network down"])
def test_a_lost_host_lowers_the_slots_and_no_request_is_lost(site: Site, way: str) -> None:
    gone, left = site.hosts
    before = len(site.said())
    with Load(site.url) as load:
        load.wait_for(40)
        if way == "network down":
            gone.unplug()
        else:
            gone.kill()
        sent = load.sent()
        site.wait(SLOTS)
        load.wait_for(60)
        load.wait_for_first(sent)  # what it had in work is given to the other one
        if way == "network down":
            gone.plug()
        else:
            gone.start()
        site.wait(2 * SLOTS)
        load.wait_for_worker(gone.worker)
        outcomes = load.outcomes()
    assert Counter(outcome.state for outcome in outcomes) == {"succeeded": load.sent()}
    changes = site.membership(before)
    assert any(each["event"] == "worker_left" and each["worker"] == gone.worker for each in changes)
    assert any(each["slots_by_worker"] == f"{left.worker} {SLOTS}" for each in changes)
    assert all(each["slots"] for each in changes)
    assert "breaker" not in site.said()[before:]


def test_a_host_that_loses_only_its_model_server_lowers_the_slots_too(site: Site) -> None:
    ill = site.hosts[0]
    before = len(site.said())
    with Load(site.url) as load:
        load.wait_for(40)
        ill.kill_server()
        site.wait(SLOTS)
        load.wait_for(60)
        ill.start_server()
        site.wait(2 * SLOTS)
        load.wait_for_worker(ill.worker)
        outcomes = load.outcomes()
    assert Counter(outcome.state for outcome in outcomes) == {"succeeded": load.sent()}
    failed = [one for outcome in outcomes for one in outcome.attempts if not one.succeeded]
    # What the server had begun with when it died, and nothing that came after.
    assert len(failed) <= SLOTS, failed
    assert all(each["slots"] for each in site.membership(before))
