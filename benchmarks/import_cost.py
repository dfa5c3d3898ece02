"""Processor time to import the SDK, beside Celery, each in a fresh interpreter."""

import resource
import subprocess
import sys
from typing import Final

from benchmarks.results import Result
from benchmarks.rig import ROOT, Rig

MAX_CLIENT_MS: Final = 150.0
PEER: Final = "from celery import Celery"
IMPORTS: Final = {
    "contracts": "import straightline.contracts",
    "client": "from straightline import Client",
    "aio": "from straightline.aio import AsyncClient",
}


def run(rig: Rig) -> list[Result]:
    """Measure the imports in turn, each less what an interpreter takes that imports nothing.

    It is processor time, so that other work on the machine does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in (*IMPORTS, "peer")}
    for _ in range(rig.size("rounds")):
        bare = milliseconds("pass")
        for name, code in {**IMPORTS, "peer": PEER}.items():
            times[name].append(milliseconds(code) - bare)
    results = {
        name: Result.beside(f"import_cost/{name}", "ms", times[name], times["peer"], "import celery")
        for name in IMPORTS
    }
    results["client"] = results["client"].aim("ours", at_most=MAX_CLIENT_MS)
    return list(results.values())


def milliseconds(code: str) -> float:
    """Return the processor time of an interpreter that runs `code`, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("import_cost"))
