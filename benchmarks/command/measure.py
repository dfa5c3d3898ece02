"""One benchmark, from its prerequisites to its results."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.command.registry import Benchmark
from benchmarks.results import Result
from benchmarks.rig import open_rig
from script.support.errors import StackError

PACKAGES: Final = {"h2load": "nghttp2-client"}
"""Debian's package of each program that a benchmark needs; services are looked for where they are started."""


def measure(benchmark: Benchmark, sizes: Mapping[str, int], state: Path) -> list[Result]:
    """Run a benchmark on a private rig, and return its results.

    Args:
        benchmark: from the registry.
        sizes: of it.
        state: the directory of runs.

    Raises:
        StackError: a prerequisite is missing, or something did not start.
        Exception: whatever the benchmark raises.
    """
    for program in benchmark.needs:
        if program in PACKAGES and shutil.which(program) is None:
            package = PACKAGES[program]
            raise StackError(
                f"{program} is not installed. Run script/bench {benchmark.name} as root, or "
                f"apt-get install {package}"
            )
    function = benchmark.load()
    with open_rig(state, sizes) as rig:
        return function(rig)


def sizes_of(
    benchmark: Benchmark, *, quick: bool, rounds: int | None, given: Mapping[str, int]
) -> dict[str, int]:
    """Return a benchmark's sizes: its defaults, then `rounds`, then those of `given` that it has."""
    sizes = {name: size.quick if quick else size.full for name, size in benchmark.sizes.items()}
    if rounds is not None:
        sizes["rounds"] = rounds
    return sizes | {name: value for name, value in given.items() if name in sizes}
