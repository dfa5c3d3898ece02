"""The audit of the locked packages, against a service of OSV's kind on this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from werkzeug.serving import make_server

from script.vulnerabilities import Package, Report, Vulnerability, parse_output, summarize

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
KNOWN = {
    "id": "PYSEC-0-1",
    "summary": "a test",
    "affected": [
        {
            "package": {"name": "msgspec", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


@pytest.fixture
def service() -> Iterator[tuple[str, dict[str, Any]]]:
    """Its URL, and what it knows by package."""
    known: dict[str, Any] = {}
    app = Flask(__name__)

    @app.post("/v1/query")
    def query() -> Any:
        asked = request.get_json(force=True)["package"]["name"]
        return Response("busy", 500) if asked in known.get("failing", ()) else known.get(asked, {})

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query", known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def audit(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    def run(url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "script.vulnerabilities"],
            cwd=ROOT,
            env={**os.environ, "STRAIGHTLINE_OSV_URL": url, "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    return run


def test_a_known_vulnerability_fails(audit: Any, service: tuple[str, dict[str, Any]]) -> None:
    url, known = service
    known["msgspec"] = {"vulns": [KNOWN]}
    done = audit(url)
    assert done.returncode == 1
    assert "VULNERABLE: msgspec" in done.stdout
    assert "PYSEC-0-1; fixed in 99.1" in done.stdout


def test_no_vulnerability_passes(audit: Any, service: tuple[str, dict[str, Any]]) -> None:
    done = audit(service[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 known vulnerabilities" in done.stdout
    assert int(done.stdout.split()[0]) > 100


def test_an_unreachable_service_is_reported_and_does_not_fail(audit: Any) -> None:
    done = audit("http://127.0.0.1:9/v1/query")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT AUDITED" in done.stdout


def test_packages_that_a_service_does_not_know_are_named() -> None:
    found = Report([Package("a", "1"), Package("b", skip_reason="not on PyPI")])
    status, lines = summarize(found)
    assert status == 0
    assert "NOT LOOKED UP" in lines[-1]
    assert lines[-1].endswith(": b.")
    assert summarize(Report([Package("a", "1", [Vulnerability("X")])]))[0] == 1


def test_an_error_of_the_audit_is_not_a_pass() -> None:
    with pytest.raises(ValueError, match="not a valid requirement"):
        parse_output(1, "", "ERROR: x is not a valid requirement")
