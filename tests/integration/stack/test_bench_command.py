"""`script/bench` on the command line: a table, JSON, and one line for each failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.command.registry import BENCHMARKS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[3]
KEYS = {"name", "unit", "ours", "peer", "ratio_median", "ratio_min", "ratio_max", "rounds"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRAIGHTLINE_")}
    return kept | {"STRAIGHTLINE_STATE": str(tmp_path / "state")}


def _call(*argv: str, environment: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240
    )


def test_a_quick_run_prints_a_table_writes_json_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = _call(
        *(str(ROOT / "script" / "bench"), "--quick", "placement", "--json", "results.json"),
        environment=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [result["name"] for result in results] == ["placement/decision", "placement/vs_single"]
    for result in results:
        assert set(result) >= KEYS
        assert result["rounds"] == BENCHMARKS["placement"].sizes["rounds"].quick
        assert 0 < result["ratio_min"] <= result["ratio_median"] <= result["ratio_max"]
        assert result["name"] in done.stdout
    assert list((tmp_path / "state" / "runs").iterdir()) == []
    assert not (tmp_path / "state" / "failed").exists()


def test_every_benchmark_is_listed_with_one_line(environment: dict[str, str]) -> None:
    done = _call(str(ROOT / "script" / "bench"), "--list", environment=environment)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BENCHMARKS)


def test_a_missing_program_is_one_line_and_the_rest_still_runs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("--quick", "v2_server", "placement", "--json", str(tmp_path / "results.json"))
    done = _call(
        *(sys.executable, "-m", "benchmarks", *arguments),
        environment=environment | {"PATH": str(tmp_path)},
    )
    assert done.returncode == 1
    failure, end = done.stderr.splitlines()
    assert failure == (
        "v2_server failed: h2load is not installed. Run script/bench v2_server as root, or "
        "apt-get install nghttp2-client"
    )
    assert end == "1 of 2 benchmarks failed: v2_server"
    results = json.loads((tmp_path / "results.json").read_text())
    assert {result["name"].partition("/")[0] for result in results} == {"placement"}


def test_a_service_that_is_not_installed_is_named_without_a_traceback(
    environment: dict[str, str], tmp_path: Path
) -> None:
    hidden = "import script.stack.services.rabbitmq as r; r.programs = lambda: None; "
    command = "import benchmarks.command.cli as c; raise SystemExit(c.main('publish'))"
    done = _call(sys.executable, "-c", hidden + command, environment=environment)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.startswith("publish failed: ")
    assert done.stderr.splitlines()[-1] == "1 of 1 benchmarks failed: publish"
    assert "Traceback" in (tmp_path / "state" / "failed" / "traceback.log").read_text()
    assert list((tmp_path / "state" / "runs").iterdir()) == []


def test_an_unknown_name_is_a_usage_error(environment: dict[str, str]) -> None:
    done = _call(str(ROOT / "script" / "bench"), "nothing", environment=environment)
    assert done.returncode == 2
    assert "no benchmark is called nothing; there are import_cost" in done.stderr
    assert "Traceback" not in done.stderr
