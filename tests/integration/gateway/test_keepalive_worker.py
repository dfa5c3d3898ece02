"""Gunicorn with our worker serves kept-alive connections without blocking new ones."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http.keepalive_worker import KEEPALIVE_WAIT_S
from script.stack.processes import readiness_probes
from script.stack.services.ports import free_ports
from script.support.readiness import wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
APP = """\
import threading


def app(environ, start):
    environ["wsgi.input"].read()
    said = str(threading.get_ident()).encode()
    start("200 OK", [("Content-Length", str(len(said)))])
    return [said]
"""
STOPPING = 10.0
"""Seconds; gunicorn itself keeps its kept connections for two."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A worker of two threads, one of which may wait for a connection that it served."""
    (tmp_path / "application.py").write_text(APP)
    (port,) = free_ports(1)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-k", "gateway.http.keepalive_worker.KeepAliveWorker"),
            *("-w", "1", "--threads", "2", "-b", f"127.0.0.1:{port}", "--no-control-socket"),
            "application:app",
        ],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: readiness_probes.answers_http(url), what="gunicorn", seconds=60, watched=())
        yield port, process
    finally:
        process.kill()
        process.wait()


def ask(connection: http.client.HTTPConnection) -> bytes:
    connection.request("POST", "/", body=b"{}")
    return connection.getresponse().read()


def test_requests_of_a_kept_connection_are_served_by_one_thread_and_others_by_the_other(
    server: tuple[int, subprocess.Popen[bytes]],
) -> None:
    connections = [http.client.HTTPConnection("127.0.0.1", server[0], timeout=10) for _ in range(5)]
    threads = {ask(connections[0]) for _ in range(20)}
    assert len(threads) == 1
    for _ in range(4):  # more of them than there are threads
        for connection in connections:
            assert ask(connection)


def test_an_idle_connection_is_served_again(
    server: tuple[int, subprocess.Popen[bytes]],
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server[0], timeout=10)
    ask(connection)
    time.sleep(3 * KEEPALIVE_WAIT_S)  # what is tried is that time has passed
    assert ask(connection)


def test_a_pipelined_request_is_answered(
    server: tuple[int, subprocess.Popen[bytes]],
) -> None:
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" * 3)
        received = b""
        while received.count(b"200 OK") < 3:
            piece = connection.recv(65536)
            assert piece
            received += piece


def test_a_stopping_worker_does_not_wait_for_connections(
    server: tuple[int, subprocess.Popen[bytes]],
) -> None:
    port, process = server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    ask(connection)
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOPPING) == 0
