"""How long it takes to import the SDK, beside Celery.

Run: python -m benchmarks.import_cost [--rounds R]

A fresh interpreter each, in turn; what one takes that imports nothing is taken off. It is processor time, so
that other work on the machine does not count; with a core of its own that is how long the import takes.
"""

import argparse
import resource
import statistics
import subprocess
import sys
from typing import Final

LIMIT: Final = 150.0
"""Milliseconds that the client may take."""
IMPORTS: Final = {
    "straightline.contracts": "import straightline.contracts",
    "straightline.Client": "from straightline import Client",
    "straightline.aio": "from straightline.aio import AsyncClient",
    "celery.Celery": "from celery import Celery",
}


def milliseconds(code: str) -> float:
    """Return the processor's time of an interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3


def main() -> None:
    """Measure in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(options.rounds):
        bare = milliseconds("pass")
        for name, code in IMPORTS.items():
            times[name].append(milliseconds(code) - bare)
    for name, values in times.items():
        print(f"{name:24} {statistics.median(values):6.1f} ms (from {min(values):.1f} to {max(values):.1f})")
    took = statistics.median(times["straightline.Client"])
    print(f"the client in at most {LIMIT:.0f} ms: {'yes' if took <= LIMIT else 'NO'}")


if __name__ == "__main__":
    main()
