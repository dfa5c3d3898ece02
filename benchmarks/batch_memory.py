"""Memory of every process while a batch job runs: whether it stays flat, however many lines there are.

`python -m benchmarks.batch_memory --lines 1000000`, with a stack started (`script/up`, then `source
.straightline/env`). The job is `straightline batch submit`, or with `--http` an upload to the gateway. Prints
for each component, its processes together, the memory at 10, 50 and 100 % of the lines in MiB, by how much
that of its own (no files, no shared buffers) grew from the first to the last, and the most that was seen.
What is shared by several processes is counted once.
"""

import argparse
import http.client
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.batch_files import Answers, submit, write_lines
from script.stack.processes.run import Run, runs

STATE: Final = Path(__file__).resolve().parent.parent / ".straightline"
MARKS: Final = (0.1, 0.5, 1.0)
EVERY: Final = 1.0
"""Seconds between two looks."""
JOB: Final = "batch submit"
"""What the process of the job is called."""


class Memory(NamedTuple):
    """Of a component, in MiB: what it has of the machine's, and of that what no file or other process has."""

    total: float
    own: float

    def __add__(self, other: "Memory") -> "Memory":  # type: ignore[override]  # of a tuple's, another meaning
        """Return both together."""
        return Memory(self.total + other.total, self.own + other.own)


Picture = dict[str, Memory]
"""By component."""


def main() -> None:
    """Run the job, look and print."""
    asked = arguments()
    (run,) = [run for run in runs(STATE) if run.owner is None]
    data = json.loads(asked.input.read_text())
    with tempfile.TemporaryDirectory() as folder:
        job: Submitted | Uploaded = (Uploaded if asked.http else Submitted)(Path(folder), asked.model)
        write_lines(job.source, json.dumps(data), asked.lines)
        before = picture(run, {})
        began = time.monotonic()
        job.start()
        seen = watch(run, job, asked.lines, {JOB: job.pid} if job.pid else {})
        print(f"{asked.lines:,} lines in {time.monotonic() - began:,.0f} s")
        tell(before, seen)


class Submitted:
    """A job of the command line.

    Args:
        folder: for its files.
        model: that answers.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.source, self._out = folder / "lines.jsonl", folder / "answers.jsonl"
        self.model = model
        self.pid: int | None = None
        self._answers = Answers(self._out)

    def start(self) -> None:
        """Begin the job."""
        self._process = subprocess.Popen(submit(self.source, self.model, self._out))
        self.pid = self._process.pid

    def done(self) -> int:
        """Return how many lines are done."""
        if self._process.poll() not in (None, 0):
            raise SystemExit("the job failed")
        return self._answers.count()


class Uploaded(Submitted):
    """A job of the gateway."""

    def start(self) -> None:
        """Upload the input; the job begins."""
        with self.source.open("rb") as file:
            length = {"Content-Type": "application/jsonl", "Content-Length": str(self.source.stat().st_size)}
            self._id = self._ask("POST", f"/v1/batches?model={self.model}", file, length)["id"]

    def done(self) -> int:
        """Return how many lines are done."""
        status = self._ask("GET", f"/v1/batches/{self._id}")
        if status["state"] not in ("waiting", "running", "done"):
            raise SystemExit(f"the job is {status['state']}")
        return int(status["succeeded"])

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        connection = http.client.HTTPConnection(urlsplit(os.environ["STRAIGHTLINE_GATEWAY_URL"]).netloc)
        key = {"Authorization": f"Bearer {os.environ['STRAIGHTLINE_API_KEY']}"}
        connection.request(method, path, body, (headers or {}) | key)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


def watch(run: Run, job: Submitted, lines: int, also: dict[str, int]) -> list[Picture]:
    """Look until the job is done; return what was seen at each mark, and the most of each component."""
    marks = [int(share * lines) for share in MARKS]
    seen: list[Picture] = []
    most: Picture = {}
    while len(seen) < len(marks):
        now = picture(run, also)
        most |= {name: max(memory, most.get(name, memory)) for name, memory in now.items()}
        done = job.done()
        if done >= marks[len(seen)] or (done >= lines - 1 and JOB in also and JOB not in now):
            seen.append(now if JOB in now or JOB not in also else now | {JOB: most[JOB]})
            told = ", ".join(f"{name} {now[name].total:.0f}" for name in sorted(now))
            print(f"{done:,} lines, MiB: {told}", flush=True)
        time.sleep(EVERY)
    return [*seen, most]


def picture(run: Run, also: dict[str, int]) -> Picture:
    """Return the memory of every component of a run, and of further processes by their names."""
    named = {process.pid: process.name for process in run.started} | {pid: name for name, pid in also.items()}
    parents = dict(_parents())
    found: defaultdict[str, Memory] = defaultdict(lambda: Memory(0.0, 0.0))
    for pid in parents:
        ancestor: int | None = pid
        while ancestor is not None and ancestor not in named:
            ancestor = parents.get(ancestor)
        memory = _memory(pid) if ancestor is not None else None
        if ancestor is not None and memory is not None:
            found[named[ancestor]] += memory
    return dict(found)


def tell(before: Picture, seen: list[Picture]) -> None:
    """Print a table."""
    *marks, most = seen
    heads = ["before", *(f"{share:.0%}" for share in MARKS), "own growth", "most"]
    print(f"{'MiB':<24}" + "".join(f"{head:>12}" for head in heads))
    for name in sorted(marks[-1]):
        none = Memory(0.0, 0.0)
        at = [picture.get(name, none) for picture in (before, *marks)]
        figures = [memory.total for memory in at]
        figures += [at[-1].own - at[1].own, most[name].total]
        print(f"{name:<24}" + "".join(f"{figure:12.1f}" for figure in figures))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--input", type=Path, default=Path("examples/digits/three.json"), help="of each line")
    parser.add_argument("--http", action="store_true", help="upload the lines to the gateway")
    return parser.parse_args()


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = dict(_fields(entry / "status"))
            if "PPid" in fields:
                yield int(entry.name), int(fields["PPid"])


def _memory(pid: int) -> Memory | None:
    fields = dict(_fields(Path(f"/proc/{pid}/smaps_rollup")))
    if "Pss" not in fields:
        return None  # it has ended, or has no memory of its own
    return Memory(*(int(fields[name].split()[0]) / 1024 for name in ("Pss", "Anonymous")))


def _fields(file: Path) -> Iterable[tuple[str, str]]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip()


if __name__ == "__main__":
    main()
