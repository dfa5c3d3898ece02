"""Pools of several hosts share a queue; one that cannot answer harms none of what the others can."""

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.events import logged_lines
from tests.integration.workers.conftest import Bench, V2Server
from tests.integration.workers.worker_process import WorkerProcess

pytestmark = pytest.mark.integration


def test_a_host_that_loses_its_model_server_leaves_the_work_to_the_others(
    bench: Bench,
    v2_server: V2Server,
    start_worker: Callable[..., WorkerProcess],
) -> None:
    lost = V2Server()
    sick = start_worker({"STRAIGHTLINE_LOCAL_URL": lost.url}, node="local@sick")
    start_worker(node="local@well")
    bench.wait_for("both at work", lambda: _both_answer(bench, lost, v2_server))
    lost.close()
    before = len(v2_server.calls)
    for _ in range(40):
        bench.place(bench.ticket([1.0, 2.0]))
        (outcome,) = bench.outcomes(1)
        assert outcome.state == "succeeded"
        assert [attempt.worker for attempt in outcome.attempts] == ["local@well"]
    assert len(v2_server.calls) == before + 40
    assert logged_lines(sick.log, "queue_withdrawn")
    with closing(V2Server(lost.port)) as back:
        bench.wait_for("the host is back", lambda: bool(logged_lines(sick.log, "queue_resumed")))
        bench.wait_for("both at work", lambda: _both_answer(bench, back, v2_server))


def test_without_a_healthy_host_faults_reach_the_scheduler(
    bench: Bench, v2_server: V2Server, start_worker: Callable[..., WorkerProcess]
) -> None:
    other = V2Server()
    start_worker({"STRAIGHTLINE_LOCAL_URL": other.url}, node="local@one")
    start_worker(node="local@two")
    bench.wait_for("both at work", lambda: _both_answer(bench, other, v2_server))
    other.close()
    v2_server.close()
    for _ in range(4):
        bench.place(bench.ticket([1.0, 2.0]))
    failed = [bench.get(bench.attempts) for _ in range(4)]
    assert all(b"unreachable" in body for body in failed)


def _both_answer(bench: Bench, *servers: V2Server) -> bool:
    before = [len(server.calls) for server in servers]
    for _ in range(8):
        bench.place(bench.ticket([1.0, 2.0]))
        bench.outcomes(1)
    return all(len(server.calls) > count for server, count in zip(servers, before, strict=True))
