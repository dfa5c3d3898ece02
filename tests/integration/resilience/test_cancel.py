"""Cancellations are durable: a worker or scheduler that was disconnected honours them later."""

import subprocess
import sys

import pytest

from straightline import names
from straightline.client import Client
from straightline.ids import new_id
from tests.integration.resilience.conftest import System
from tests.integration.workers.conftest import V2Server
from tests.integration.workers.worker_process import ROOT

pytestmark = pytest.mark.integration

DATA = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
QUEUE = names.backend_queue("local")


def test_a_worker_that_was_disconnected_does_not_run_a_cancelled_request(
    system: System, client: Client, v2_server: V2Server
) -> None:
    system.start_scheduler()
    gone = client.submit("double", DATA)
    system.until("a placement", lambda: system.placed(1))
    wanted = client.submit("double", DATA)
    assert client.cancel(gone, timeout=10.0) == "noted"
    system.until("two placements", lambda: system.placed(2))
    system.start_worker()
    assert client.result(gone, 20.0).state == "cancelled"
    assert client.result(wanted, 20.0).state == "succeeded"
    assert v2_server.calls == [1]
    # The scheduler hears of the end by another way than the client, and maybe later.
    system.until("its end being known", lambda: client.cancel(wanted, timeout=10.0) == "ended")


def test_a_running_request_is_cancelled_at_once_and_its_late_answer_changes_nothing(
    system: System, client: Client, v2_server: V2Server
) -> None:
    system.start_scheduler()
    system.start_worker()
    v2_server.gate.clear()
    running = client.submit("double", DATA)
    system.until("a call", lambda: v2_server.calls)
    command = [sys.executable, "-m", "straightline", "cancel", running]
    environ = {"STRAIGHTLINE_BROKER_URL": system.url, "PATH": "/usr/bin"}
    said = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout
    assert said == f"{running} is in progress: it will be cancelled unless a result arrives first\n"
    outcome = client.result(running, 20.0)
    assert (outcome.state, outcome.attempts[0].backend) == ("cancelled", "local")
    assert not v2_server.gate.is_set(), "it did not wait for the call"
    v2_server.gate.set()
    assert client.result(client.submit("double", DATA), 20.0).state == "succeeded"
    system.until("an idle pool", lambda: system.depth(QUEUE) == 0)
    assert [ended.state for ended in system.outcomes()] == ["cancelled", "succeeded"]


def test_a_new_leader_honours_cancellations_of_its_predecessor(system: System, client: Client) -> None:
    leader = system.start_scheduler()
    to_come = new_id()
    assert client.cancel(to_come, timeout=20.0) == "unknown"
    leader.kill()
    leader.wait()
    client.submit("double", DATA, id=to_come)
    other = client.submit("double", DATA)
    system.start_scheduler()
    system.until("a placement", lambda: system.placed(1))
    assert client.result(to_come, 20.0).state == "cancelled"
    assert client.cancel(other, timeout=10.0) == "noted"
