"""Requests that would not be answered in time are rejected at once; the others are answered."""

import time

import pytest

from straightline.client import Client
from tests.integration.resilience.conftest import System
from tests.integration.workers.conftest import V2Server

pytestmark = pytest.mark.integration

DATA = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}


def test_a_request_without_the_time_to_wait_is_rejected_and_one_with_it_is_answered(
    system: System, client: Client, v2_server: V2Server
) -> None:
    v2_server.takes = 0.2
    system.start_scheduler()
    system.start_worker(slots=2)  # ten a second
    assert client.result(client.submit("double", DATA), 30.0).state == "succeeded"
    patient = client.submit_many([{"model": "double", "data": DATA}] * 80)
    system.until("a measurement", lambda: len(v2_server.calls) > 35)
    began = time.monotonic()
    hasty = client.result(client.submit("double", DATA, deadline=1.0), 10.0)
    assert time.monotonic() - began < 0.9, "before its deadline"
    assert (hasty.state, hasty.error_class) == ("rejected", "saturated")
    assert hasty.retry_after is not None
    assert 1 <= hasty.retry_after <= 10
    assert {client.result(request_id, 60.0).state for request_id in patient} == {"succeeded"}
    assert client.result(client.submit("double", DATA, deadline=2.0), 10.0).state == "succeeded"
