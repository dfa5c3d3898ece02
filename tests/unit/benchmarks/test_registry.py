"""Every benchmark can be run by its name, alone or through the command."""

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks.command.measure import sizes_of
from benchmarks.command.registry import BENCHMARKS, Benchmark
from script.support.errors import StackError

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks"
HELPERS = {"__main__", "results", "rig"}


def test_every_module_is_registered() -> None:
    modules = {file.stem for file in FOLDER.glob("*.py")} - HELPERS
    assert {benchmark.module or benchmark.name for benchmark in BENCHMARKS.values()} == modules


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_every_benchmark_can_be_loaded(benchmark: Benchmark) -> None:
    module = importlib.import_module(f"benchmarks.{benchmark.module or benchmark.name}")
    assert benchmark.load() is getattr(module, benchmark.function)
    assert f'main("{benchmark.module or benchmark.name}")' in Path(str(module.__file__)).read_text()
    assert "rounds" in benchmark.sizes
    assert all(size.quick <= size.full or name == "pace" for name, size in benchmark.sizes.items())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_readme_describes_every_benchmark_and_its_sizes(name: str) -> None:
    row = next(
        (line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| `{name}`")),
        "",
    )
    for size, values in BENCHMARKS[name].sizes.items():
        assert f"{size}={values.full}" in row


def test_sizes_are_the_defaults_unless_given() -> None:
    batch = BENCHMARKS["batch"]
    assert sizes_of(batch, quick=False, rounds=None, given={})["lines"] == batch.sizes["lines"].full
    assert sizes_of(batch, quick=True, rounds=None, given={})["lines"] == batch.sizes["lines"].quick
    found = sizes_of(batch, quick=True, rounds=3, given={"lines": 7, "work_ms": 5})
    assert (found["rounds"], found["lines"]) == (3, 7)
    assert "work_ms" not in found


def test_a_missing_library_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    monkeypatch.delitem(sys.modules, "benchmarks.publish", raising=False)
    with pytest.raises(StackError, match=r"pika.*Install requirements/dev.txt"):
        BENCHMARKS["publish"].load()
