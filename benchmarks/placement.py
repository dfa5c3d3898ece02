"""Time of one placement decision, features in and placement out, beside decoding the request."""

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Final

from benchmarks.results import Result
from benchmarks.rig import Rig
from scheduler.placement import baselines, empirical
from scheduler.placement.model import ALL, BackendState, Features, Thresholds
from straightline.contracts import decode_request
from straightline.ids import new_id
from straightline.names import Backend

MAX_DECISION_US: Final = 10.0


def run(rig: Rig) -> list[Result]:
    """Measure decisions of both policies and decoding in turn."""
    count = rig.size("decisions")
    cases = mixture(count, seed=7)
    thresholds = Thresholds()
    single = baselines.single("serverless")
    body = request()
    work: dict[str, Callable[[], object]] = {
        "decision": lambda: [empirical.place(f, s, thresholds) for f, s in cases],
        "single": lambda: [single(f, s, thresholds) for f, s in cases],
        "decode": lambda: [decode_request(body) for _ in range(count)],
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rig.size("rounds")):
        for name, each in work.items():
            times[name].append(microseconds(each, count))
    rules = sorted({empirical.place(f, s, thresholds).rule for f, s in cases})
    rig.say(f"rules used (0 is a hold): {rules}")
    decision = times["decision"]
    return [
        Result.beside("placement/decision", "us", decision, times["decode"], "decoding the request").aim(
            "ours", at_most=MAX_DECISION_US
        ),
        Result.beside("placement/vs_single", "us", decision, times["single"], "single-backend policy"),
    ]


def mixture(count: int, seed: int) -> list[tuple[Features, dict[Backend, BackendState]]]:
    """Return requests and states that use every branch, and holds."""
    draw = random.Random(seed)
    return [
        (
            Features(
                "digits",
                f_t=draw.choice((1.0, 40.0, 80.0)),
                r_d=draw.choice((400, 4_000, 900_000)),
                time_left=60.0,
                excluded=draw.choice(((), (), (), ("local",))),
            ),
            {
                backend: BackendState(
                    down=draw.choice((None, None, None, "unhealthy")),
                    free=draw.choice((0, 4)),
                    models=frozenset({"digits"}),
                    max_payload=6_291_456,
                    best_cases={"digits": 0.002},
                )
                for backend in ALL
            },
        )
        for _ in range(count)
    ]


def request() -> bytes:
    """Return the body of a request with one image."""
    image = {"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}]}
    return json.dumps(
        {"id": new_id(), "model": "digits", "submitted_at": time.time(), "data": image}
    ).encode()


def microseconds(work: Callable[[], object], count: int) -> float:
    """Return the mean time of one of the `count` steps of `work`, in microseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count * 1e6


if __name__ == "__main__":
    from benchmarks.command.cli import main

    sys.exit(main("placement"))
