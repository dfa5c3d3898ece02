"""The benchmarks by name: what each measures, its sizes, and what it needs."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from benchmarks.results import Result
from benchmarks.rig import Rig
from script.support.errors import StackError

Needs = tuple[str, ...]
SERVICES: Final[Needs] = ("rabbitmq", "postgres")


class Size(NamedTuple):
    """A number of rounds, requests or the like: by default, and with `--quick`."""

    full: int
    quick: int


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: on the command line.
        summary: one line on what it measures and beside what.
        sizes: numbers that can be set, by name; each has `rounds`.
        needs: what `script/bootstrap.sh` has to provide, in its words.
        module: in `benchmarks`, where it is not the name.
        function: of the module.
    """

    name: str
    summary: str
    sizes: Mapping[str, Size]
    needs: Needs = SERVICES
    module: str = ""
    function: str = "run"

    def load(self) -> Callable[[Rig], list[Result]]:
        """Import and return the function that measures.

        Raises:
            StackError: a library is missing.
        """
        try:
            module = importlib.import_module(f"benchmarks.{self.module or self.name}")
        except ImportError as error:
            raise StackError(f"{error}. Install requirements/dev.txt, or run script/bench") from error
        found: Callable[[Rig], list[Result]] = getattr(module, self.function)
        return found


_BATCH_MEMORY: Final = {"rounds": Size(1, 1), "lines": Size(1_000_000, 2_000)}

BENCHMARKS: Final = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "import_cost",
            "processor time to import the SDK, beside importing Celery",
            {"rounds": Size(11, 2)},
            needs=(),
        ),
        Benchmark(
            "placement",
            "time of one placement decision, beside decoding the request",
            {"rounds": Size(21, 3), "decisions": Size(5_000, 500)},
            needs=(),
        ),
        Benchmark(
            "publish",
            "confirmed publishes per second, beside Celery's delay()",
            {"rounds": Size(5, 2), "requests": Size(20_000, 1_000), "tasks": Size(2_000, 100)},
        ),
        Benchmark(
            "round_trip",
            "one request at a time through the local pool, beside Celery rpc://",
            {"rounds": Size(7, 2), "calls": Size(100, 20)},
        ),
        Benchmark(
            "whole_path",
            "requests recorded per second, beside Celery with results in the same Postgres",
            {"rounds": Size(5, 2), "requests": Size(20_000, 1_000), "tasks": Size(1_500, 100)},
        ),
        Benchmark(
            "gateway",
            "synchronous V2 infer through the gateway, beside the local server called directly",
            {"rounds": Size(5, 2), "calls": Size(100, 10), "work_ms": Size(0, 0)},
        ),
        Benchmark(
            "v2_server",
            "overhead and throughput of the model server, beside MLServer",
            {"rounds": Size(5, 2), "calls": Size(200, 20)},
            needs=("h2load",),
        ),
        Benchmark(
            "cold_starts",
            "time from a cold start to the first answer of each form, beside MLServer",
            {"rounds": Size(3, 1)},
            needs=(),
        ),
        Benchmark(
            "batch",
            "p95 of interactive requests while a batch job runs, beside the same without one",
            {
                "rounds": Size(20, 1),
                "lines": Size(100_000, 10_000),
                "pace": Size(20, 40),
                "block_s": Size(20, 4),
            },
        ),
        Benchmark(
            "batch_memory",
            "memory of each component during a job of `batch submit`, last lines beside the first",
            _BATCH_MEMORY,
        ),
        Benchmark(
            "batch_memory_http",
            "the same for a job that is uploaded to the gateway",
            _BATCH_MEMORY,
            module="batch_memory",
            function="run_http",
        ),
    )
}
