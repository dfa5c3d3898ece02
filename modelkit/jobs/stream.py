"""Parser of a job's output: lines of the entry point, and events of the runner."""

import codecs
import signal
from typing import Any, Final

import msgspec

from modelkit.job_runtime.runner import SEPARATOR
from modelkit.jobs.job import JobResult, Listener
from straightline.contracts.parsing.decoding import decode
from straightline.errors import ContractError

MAX_LINE_CHARS: Final = 64 * 1024
"""Longer lines are split."""


class OutputParser:
    """Passes the output of a job to a listener, and collects the result of the job."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._events: dict[str, Any] = {}
        self._bad_alloc = False

    def feed(self, chunk: bytes) -> None:
        """Parse a chunk of output."""
        # Progress bars overwrite their line with a carriage return.
        text = self._rest + self._decoder.decode(chunk).replace("\r\n", "\n").replace("\r", "\n")
        *lines, self._rest = text.split("\n")
        if len(self._rest) > MAX_LINE_CHARS:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            self._line(line)

    def close(self) -> None:
        """Parse the rest at the end of the output."""
        if self._rest:
            self._line(self._rest)
            self._rest = ""

    def result(self, *, code: int, out_of_memory: bool, timed_out: bool, seconds: float) -> JobResult:
        """Return the result of the job.

        Args:
            code: exit code of the runner; above 128, or below 0, for a signal.
            out_of_memory: whether the runtime saw an out-of-memory kill.
            timed_out: whether the runtime ended the job at its time limit.
            seconds: duration.
        """
        ended = self._events.get("ended") or {}
        message = self._events.get("failed", "")
        name = ended.get("signal") or (_signal_name(code) if not ended else None)
        code = ended.get("code", code)
        result = JobResult(status="finished", code=code, message=message, seconds=seconds)
        replace = msgspec.structs.replace
        if timed_out or ended.get("timed_out"):
            return replace(result, status="timed_out")
        out_of_memory |= ended.get("out_of_memory", False) or self._events.get("out_of_memory", False)
        if out_of_memory or (name and self._bad_alloc):
            return replace(result, status="out_of_memory")
        if name:
            return replace(result, status="killed", signal=name)
        if "result" in self._events and not message:
            return replace(result, value=self._events["result"])
        if message and not message.startswith("it called sys.exit"):
            return replace(result, status="failed")
        return replace(result, status="exited", message=message or "no reason was reported")

    def _line(self, line: str) -> None:
        text, mark, event = line.partition(SEPARATOR)
        if text or not mark:
            self._bad_alloc |= "std::bad_alloc" in text
            self._listener.line(text)
        if mark:
            self._event(event)

    def _event(self, event: str) -> None:
        try:
            decoded = decode(event, dict[str, Any])
        except ContractError:
            self._listener.line(event)  # output of the entry point
            return
        if "progress" in decoded:
            done, total, text = decoded["progress"]
            self._listener.progress(done, total, text)
        else:
            self._events |= decoded


def _signal_name(code: int) -> str | None:
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return None
