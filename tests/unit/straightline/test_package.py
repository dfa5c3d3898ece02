"""What the published package holds and costs."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_namespace_packages  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]


def test_the_wheel_holds_the_sdk_alone_and_all_of_it() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = find_namespace_packages(str(ROOT), **settings["tool"]["setuptools"]["packages"]["find"])
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".") for path in ROOT.glob("straightline/**/*.py")
    }
    assert set(found) - {name for name in found if "__pycache__" in name} == folders
    assert {name.partition(".")[0] for name in found} == {"straightline"}


def test_the_command_that_the_wheel_installs_exists() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = settings["project"]["scripts"]["straightline"].partition(":")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; sys.exit({module}.{name}(['--help']))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert "exit codes" in done.stdout


def test_importing_the_client_imports_only_its_dependencies() -> None:
    """Checked in a fresh interpreter; the names are top-level modules that are none of Python's own."""
    code = (
        "import sys; before = set(sys.modules); from straightline import Client;"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "import json; print(json.dumps(sorted(tops - set(sys.stdlib_module_names))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    brought = set(json.loads(done.stdout))
    assert brought - {"typing_extensions"} == {"straightline", "pika", "msgspec"}, (
        "the other is msgspec's, if there"
    )


@pytest.mark.parametrize(
    ("imported", "most"),
    [("straightline.contracts", 100), ("straightline.client", 240), ("straightline.aio", 240)],
)
def test_an_import_stays_small(imported: str, most: int) -> None:
    """Modules are counted, which no busy machine changes; `benchmarks.import_cost` measures the time."""
    code = f"import sys; before = len(sys.modules); import {imported}; print(len(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) <= most, "something new is imported before it is needed"


def test_its_types_are_shipped() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["straightline"]
    assert (ROOT / "straightline" / "py.typed").exists()
    assert (ROOT / settings["project"]["readme"]).read_text(encoding="utf-8").startswith("# straightline")


def test_importing_the_contracts_brings_no_broker() -> None:
    code = "import sys, straightline.contracts; assert 'pika' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
