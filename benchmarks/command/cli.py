"""The command line of `script/bench` and of `python -m benchmarks`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.command import against, table
from benchmarks.command.measure import measure, sizes_of
from benchmarks.command.registry import BENCHMARKS, Benchmark
from benchmarks.results import Result
from benchmarks.rig import ROOT
from script.stack.processes import up_down
from script.stack.processes.env_marker import sourced
from script.stack.processes.plan import SECRET
from script.support.errors import StackError
from script.support.output_file import output_file
from script.support.progress import console

PROCESSES: Final = 5
"""For each checkout with `--against`."""
QUICK_PROCESSES: Final = 2
INTERRUPTED: Final = 130


def main(*names: str) -> int:
    """Run the command and return its exit status.

    Args:
        names: benchmarks to run, where the command line names none.
    """
    options = _read([*names, *sys.argv[1:]])
    chosen = [BENCHMARKS[name] for name in options.names or BENCHMARKS]
    if options.list:
        for benchmark in BENCHMARKS.values():
            print(f"{benchmark.name:<18} {benchmark.summary}")
        return 0
    if options.needs:
        print(*sorted({need for benchmark in chosen for need in benchmark.needs}))
        return 0
    # A SIGTERM must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(chosen, options)
    except KeyboardInterrupt:
        print("Interrupted: everything that was started is stopped.", file=sys.stderr)
        return INTERRUPTED
    except StackError as error:
        print(f"script/bench: {error}", file=sys.stderr)
        return 1


def _run(chosen: Sequence[Benchmark], options: argparse.Namespace) -> int:
    file = output_file(options.json)
    state = Path(os.environ.get("STRAIGHTLINE_STATE") or ROOT / ".straightline").absolute()
    up_down.sweep(state)
    for name in sourced(os.environ) | SECRET:  # services are private, whatever this shell has sourced
        os.environ.pop(name, None)
    results: list[Result] = []
    failed: list[str] = []
    for benchmark in chosen:
        print(f"{benchmark.name}: {benchmark.summary}", flush=True)
        try:
            results += _results(benchmark, options, state)
        except StackError as error:
            failed.append(benchmark.name)
            print(f"{benchmark.name} failed: {error}", file=sys.stderr, flush=True)
    if file is not None:
        table.write(file, results)
    if results:
        print()
        table.show(console(), results)
    if failed:
        print(f"{len(failed)} of {len(chosen)} benchmarks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _results(benchmark: Benchmark, options: argparse.Namespace, state: Path) -> list[Result]:
    given = dict(options.size)
    if options.against is None:
        sizes = sizes_of(benchmark, quick=options.quick, rounds=options.rounds, given=given)
        return measure(benchmark, sizes, state)
    other = Path(os.environ.get("STRAIGHTLINE_CALLED_FROM", "."), options.against).resolve()
    processes = options.rounds or (QUICK_PROCESSES if options.quick else PROCESSES)
    rounds = benchmark.sizes["rounds"]
    share = {"rounds": max(1, (rounds.quick if options.quick else rounds.full) // processes)}
    given = {name: value for name, value in given.items() if name in benchmark.sizes}
    return against.compare(
        benchmark.name, other, processes=processes, sizes=share | given, quick=options.quick
    )


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description="Run benchmarks, each on a private stack, and print our figures beside their peers'.",
        epilog="Example: script/bench round_trip placement --json results.json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run; default: all of them")
    parser.add_argument("--list", action="store_true", help="list the benchmarks, and run none")
    parser.add_argument("--quick", action="store_true", help="take few, short rounds: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="rounds; with --against, processes of each checkout"
    )
    parser.add_argument(
        "--size",
        type=_size,
        action="append",
        default=[],
        metavar="NAME=N",
        help="set another size of a benchmark, e.g. requests=1000; may be repeated",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="compare with another checkout: run both in turn, in processes of their own",
    )
    parser.add_argument("--needs", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    known = {size for name in options.names or BENCHMARKS for size in BENCHMARKS[name].sizes}
    for name, _ in options.size:
        if name not in known:
            parser.error(f"--size {name}: there is no such size; there are {', '.join(sorted(known))}")
    return options


def _size(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals or not value.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=N with a whole number N")
    return name, int(value)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
