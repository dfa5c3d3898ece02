"""The same benchmark of two checkouts, in alternating processes: A B A B."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.command import table
from benchmarks.results import Result
from benchmarks.rig import ROOT
from script.support.errors import StackError

Rounds = list[list[Result]]
"""The results of each process of one checkout."""


def compare(
    name: str, other: Path, *, processes: int, sizes: Mapping[str, int], quick: bool = False
) -> list[Result]:
    """Measure a benchmark in this checkout and in another one, in turn.

    Args:
        name: of the benchmark.
        other: the other checkout.
        processes: for each checkout.
        sizes: of the benchmark in one process.
        quick: take the other sizes as `--quick` has them.

    Returns:
        ours beside the other checkout's figure; a ratio is of two processes that followed each other.

    Raises:
        StackError: a checkout cannot run the benchmark.
    """
    ours: Rounds = []
    theirs: Rounds = []
    for checkout in (ROOT, other):
        command_of(checkout)
    arguments = [name, *(f"--size={key}={value}" for key, value in sizes.items())]
    if quick:
        arguments.append("--quick")
    for number in range(1, processes + 1):
        for checkout, into in ((ROOT, ours), (other, theirs)):
            into.append(run_once(checkout, arguments))
            figures = ", ".join(f"{result.name} {result.ours:.4g}" for result in into[-1])
            print(f"  process {number} of {checkout}: {figures}", flush=True)
    return pair(ours, theirs, other)


def command_of(checkout: Path) -> Path:
    """Return `script/bench` of a checkout.

    Raises:
        StackError: it has none.
    """
    command = checkout / "script" / "bench"
    if not command.is_file():
        raise StackError(f"--against: {checkout} has no script/bench, so it cannot be compared")
    return command


def run_once(checkout: Path, arguments: list[str]) -> list[Result]:
    """Run `script/bench` of a checkout, and return its results.

    Raises:
        StackError: it has none, or it failed.
    """
    command = command_of(checkout)
    with tempfile.TemporaryDirectory(prefix="straightline-") as folder:
        file = Path(folder) / "results.json"
        status, output = _call([str(command), *arguments, "--json", str(file)], checkout)
        if status != 0 or not file.is_file():
            last = "\n".join(output.strip().splitlines()[-5:])
            raise StackError(f"{command} {' '.join(arguments)} failed with status {status}:\n{last}")
        try:
            return table.read(file)
        except msgspec.MsgspecError as error:
            raise StackError(f"{command} wrote other JSON than this checkout reads: {error}") from error


def pair(ours: Rounds, theirs: Rounds, other: Path) -> list[Result]:
    """Return each figure that both have in every process, ours beside theirs."""
    columns = [_columns(rounds) for rounds in (ours, theirs)]
    return [
        Result.beside(name, unit, values, columns[1][name, unit], f"at {other.name or other}")
        for (name, unit), values in columns[0].items()
        if len(columns[1].get((name, unit), ())) == len(values) == len(ours)
    ]


def _columns(rounds: Rounds) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for results in rounds:
        for result in results:
            found.setdefault((result.name, result.unit), []).append(result.ours)
    return found


def _call(argv: list[str], checkout: Path) -> tuple[int, str]:
    """Run a command to its end; interrupted, let it clean up first."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        argv, cwd=checkout, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        output = process.communicate()[0]
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.communicate()
        raise
    return process.returncode, output
