"""The first process of a job: runs the entry point in a child, and reports its result.

It is a script that needs only the standard library (and the serving code, for a validation). Its argument is
a JSON object: `kind` (`train`, `validate`), `entry`, `project`, `output`, `inputs`, `bundle`, `code`,
`timeout` in seconds, `memory` in bytes or null. It writes events to standard output, each a line that begins
with the record separator: `{"progress": [done, total, text]}`, `{"result": ...}`, `{"failed": "..."}` and,
last, `{"ended": {"code", "signal", "timed_out", "out_of_memory"}}`. All other lines are output of the entry
point.
"""

import contextlib
import ctypes
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

SEPARATOR: Final = "\x1e"
_PACKAGE: Final = "straightline_project"
_PR_SET_PDEATHSIG: Final = 1
_CGROUP_EVENT_FILES: Final = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def main(arguments: list[str]) -> int:
    """Run the job in the argument and return its exit code."""
    call: dict[str, Any] = json.loads(arguments[0])
    kills_before = _oom_kill_count()
    child = os.fork()
    if child == 0:
        _run_child(call)
    return _supervise(child, call, kills_before)


def _run_child(call: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if call["memory"] is not None:
        # Private memory, not address space: libraries reserve far more addresses than they use.
        resource.setrlimit(resource.RLIMIT_DATA, (call["memory"], call["memory"]))
    code = 1
    try:
        emit({"result": _STEPS[call["kind"]](call)})
        code = 0
    except MemoryError:
        traceback.print_exc()
        emit({"failed": "MemoryError", "out_of_memory": True})
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        emit({"failed": f"it called sys.exit({error.code!r})"})
    except BaseException as error:  # noqa: BLE001 - every end of an entry point is reported
        if not _is_self_explanatory(error):
            traceback.print_exc()
        # The error of the serving code for a model that runs out of memory.
        no_memory = type(error).__name__ == "OutOfMemory"
        message = str(error) if _is_self_explanatory(error) else f"{type(error).__name__}: {error}"
        emit({"failed": message, "out_of_memory": no_memory})
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)


class EntryPointMismatch(TypeError):  # noqa: N818 - it reads as what was found
    """The entry point in model.toml does not match the project; the message is complete."""


def _is_self_explanatory(error: BaseException) -> bool:
    """Return whether the message is complete, so that a traceback would only show internal code."""
    internal = isinstance(error, EntryPointMismatch) or type(error).__name__ == "ConfigurationError"
    return internal and error.__cause__ is None


def _supervise(child: int, call: dict[str, Any], kills_before: int) -> int:
    """Wait for the child until its time limit, kill its process group, and report how it ended."""
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    signal.signal(signal.SIGTERM, lambda *_: _kill_group(child))
    # The parent handles Ctrl-C and then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    deadline = time.monotonic() + call["timeout"]
    descriptor = os.pidfd_open(child)
    timed_out = not _ends_before(descriptor, deadline)
    _kill_group(child)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    ended = {
        "code": max(code, 0),
        "signal": signal.Signals(-code).name if code < 0 else None,
        "timed_out": timed_out,
        "out_of_memory": _oom_kill_count() > kills_before,
    }
    emit({"ended": ended})
    return code if code >= 0 else 128 - code


def _ends_before(descriptor: int, deadline: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)


def emit(event: dict[str, Any]) -> None:
    """Write an event as one line."""
    sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):
        os.write(1, (SEPARATOR + json.dumps(event, default=str) + "\n").encode())


def _report(done: float, total: float, text: str = "") -> None:
    emit({"progress": [float(done), float(total), str(text)]})


def _train(call: dict[str, Any]) -> None:
    _call(call, output=Path(call["output"]))


def _validate(call: dict[str, Any]) -> dict[str, float]:
    sys.path.insert(0, call["code"])
    module = importlib.import_module("modelkit.job_runtime.model_under_test")
    found = _call(call, predict=module.load_predict(Path(call["bundle"])))
    if not isinstance(found, dict) or not found:
        raise TypeError(f"{call['entry']} must return a dict of metrics; it returned {type(found).__name__}")
    metrics = {str(name): float(value) for name, value in found.items()}
    if wrong := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise ValueError(f"{call['entry']} did not return a finite number for {wrong}")
    return metrics


def _call(call: dict[str, Any], **given: Any) -> Any:
    """Call the entry point with the arguments that it names: `inputs`, `report`, or one of `given`."""
    entry = _entry_point(Path(call["project"]), call["entry"])
    inputs = None if call["inputs"] is None else Path(call["inputs"])
    offered = {**given, "inputs": inputs, "report": _report}
    named = list(inspect.signature(entry).parameters)
    if unknown := [name for name in named if name not in offered]:
        raise EntryPointMismatch(
            f"{call['entry']} has unknown parameters {unknown}. Use only {sorted(offered)}"
        )
    return entry(**{name: offered[name] for name in named})


def _entry_point(project: Path, entry: str) -> Callable[..., Any]:
    """Import the project as a package, whose modules import each other relatively."""
    sys.dont_write_bytecode = True  # the project is read-only
    module, _, name = entry.partition(":")
    spec = importlib.machinery.ModuleSpec(_PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(project)]
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    found = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), name, None)
    if not callable(found):
        raise EntryPointMismatch(
            f"{module}.py has no callable {name!r}, the entry of model.toml. Correct one of them"
        )
    return found


def _die_with_parent() -> None:
    """Make the kernel kill this process when its parent ends for any reason (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _oom_kill_count() -> int:
    """Return the number of out-of-memory kills in this container."""
    for place in _CGROUP_EVENT_FILES:
        with contextlib.suppress(OSError):
            for line in Path(place).read_text(encoding="ascii").splitlines():
                word, _, count = line.partition(" ")
                if word == "oom_kill":
                    return int(count)
    return 0


_STEPS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {"train": _train, "validate": _validate}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
