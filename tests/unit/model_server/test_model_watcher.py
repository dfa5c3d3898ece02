"""A running server loads new versions from its directory and drops removed ones."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from model_server.app import ERROR_HEADER, build, create
from model_server.models import watcher
from model_server.models.bundle import read_bundles
from model_server.models.engine import Engine, load_engine
from model_server.models.registry import Registry
from model_server.models.watcher import ModelWatcher
from straightline.errors import ConfigurationError
from tests.unit.model_server.tomls import PYTHON

ASK = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
Put = Callable[[str, str], None]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def bundle(version: str, code: str) -> None:
        fresh = tmp_path / ".fresh"
        fresh.mkdir()
        (fresh / "model.toml").write_text(PYTHON.format(name="m", version=version))
        (fresh / "code.py").write_text(code)
        target = tmp_path / "m" / version
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)

    return bundle


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MIN_SCAN_INTERVAL_S", 0.0)


def times(factor: int) -> str:
    return f"def run(inputs):\n    return {{'y': inputs['x'] * {factor}}}\n"


def start(models: Path) -> tuple[Registry, ModelWatcher]:
    loaded: dict[tuple[str, str], Engine] = {}
    for bundle in read_bundles(models):
        loaded[bundle.spec.name, bundle.spec.version] = load_engine(bundle)
    registry = Registry(loaded.values())
    watch = ModelWatcher(models, registry, load_engine, loaded)
    registry.refresh_when_unknown(watch.request_scan)
    return registry, watch


def test_a_new_version_is_served_at_its_first_request(tmp_path: Path, put: Put) -> None:
    put("1", times(2))
    registry, _ = start(tmp_path)
    client = build(registry, max_body=1 << 20).test_client()
    put("2", times(3))
    for version, expected in (("1", 2.0), ("2", 3.0)):
        answer = client.post(f"/v2/models/m/versions/{version}/infer", json=ASK)
        assert answer.json is not None
        assert answer.json["outputs"][0]["data"] == [expected]
    assert registry.versions("m") == ["1", "2"]


def test_a_slowly_loading_model_delays_no_other_model(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "SCAN_WAIT_TIMEOUT_S", 0.2)
    put("1", times(2))
    registry, watch = start(tmp_path)
    client = build(registry, max_body=1 << 20).test_client()
    gate = tmp_path / "gate"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
    put("2", waits + times(3))
    put("3", times(4))
    ready = "/v2/models/m/versions/2/ready"
    began = time.monotonic()
    told = [client.get(ready) for _ in range(50)]
    assert [each.status_code for each in told] == [503] * 50
    assert told[0].headers[ERROR_HEADER] == "loading"
    assert time.monotonic() - began < 5.0, "requests wait at the same time, not one after the other"
    states = {each["version"]: each["state"] for each in client.post("/v2/repository/index").json or []}
    assert (states["1"], states["2"]) == ("READY", "LOADING")
    assert client.post("/v2/models/m/versions/1/infer", json=ASK).status_code == 200
    gate.touch()
    deadline = time.monotonic() + 30
    while client.get(ready).status_code != 200:
        assert time.monotonic() < deadline
    watch.scan()
    assert registry.versions("m") == ["1", "2", "3"]


def test_a_broken_bundle_is_reported_and_running_versions_stay(tmp_path: Path, put: Put) -> None:
    put("1", times(2))
    registry, watch = start(tmp_path)
    before = registry.find("m", "1")
    put("2", "import nothing_of_this_name\n")
    watch.scan()
    assert registry.find("m") is before
    client = build(registry, max_body=1 << 20).test_client()
    answer = client.get("/v2/models/m/versions/2/ready")
    assert answer.status_code == 404
    assert "nothing_of_this_name" in (answer.json or {})["error"]
    states = client.post("/v2/repository/index").json
    assert [(each["version"], each["state"]) for each in states or []] == [
        ("1", "READY"),
        ("2", "UNAVAILABLE"),
    ]
    put("2", times(5))
    watch.scan()
    assert registry.find("m", "2") is not before


def test_a_removed_version_is_dropped(tmp_path: Path, put: Put) -> None:
    put("1", times(2))
    put("2", times(3))
    registry, watch = start(tmp_path)
    shutil.rmtree(tmp_path / "m" / "2")
    watch.scan()
    assert registry.versions("m") == ["1"]


def test_an_unchanged_version_is_not_loaded_again(tmp_path: Path, put: Put) -> None:
    put("1", times(2))
    registry, watch = start(tmp_path)
    before = registry.find("m", "1")
    put("10", times(4))
    put("9", times(4))
    watch.scan()
    assert registry.find("m", "1") is before
    assert registry.versions("m") == ["1", "9", "10"]


def test_a_server_starts_with_a_broken_bundle_beside_good_ones(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("1", times(2))
    put("2", "import nothing_of_that_name\n")
    (tmp_path / "other" / "1").mkdir(parents=True)
    (tmp_path / "other" / "1" / "model.toml").write_text("this is no TOML")
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    client = create().test_client()
    assert client.post("/v2/models/m/infer", json=ASK).status_code == 200
    states: list[dict[str, str]] = client.post("/v2/repository/index").json or []
    found = {(each["name"], each["version"]): each["state"] for each in states}
    assert found == {("m", "1"): "READY", ("m", "2"): "UNAVAILABLE", ("other", "1"): "UNAVAILABLE"}
    monkeypatch.setenv("STRAIGHTLINE_SERVE_WATCH", "0")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        create()


def test_a_server_starts_with_an_empty_directory_and_serves_new_models(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRAIGHTLINE_MODELS_DIR", str(tmp_path))
    client = create().test_client()
    put("1", times(2))
    assert client.post("/v2/models/m/infer", json=ASK).status_code == 200
