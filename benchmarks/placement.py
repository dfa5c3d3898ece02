"""How long one placement decision takes: features in, placement out.

Run: python -m benchmarks.placement

Printed beside it, in the same run: the single-backend baseline, and decoding the request in question.
"""

import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Final

from scheduler.placement import baselines, empirical
from scheduler.placement.model import ALL, BackendState, Features, Thresholds
from straightline.contracts import decode_request
from straightline.ids import new_id

ROUNDS: Final = 21
DECISIONS: Final = 5_000
LIMIT: Final = 10.0
"""Microseconds that a decision may take on average."""


def mixture(count: int, seed: int) -> list[tuple[Features, dict[str, BackendState]]]:
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


def microseconds(work: Callable[[], object], count: int) -> float:
    """Return the mean time of one of `count` pieces of `work`, in microseconds."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count * 1e6


def main() -> None:
    """Measure in turn and print medians."""
    cases = mixture(DECISIONS, seed=7)
    thresholds = Thresholds()
    single = baselines.single("serverless")
    image = {"inputs": [{"name": "images", "shape": [1, 64], "datatype": "FP32", "data": [0] * 64}]}
    body = json.dumps(
        {"id": new_id(), "model": "digits", "submitted_at": time.time(), "data": image}
    ).encode()
    figures: dict[str, list[float]] = {"empirical": [], "single": [], "decode": []}
    for _ in range(ROUNDS):
        figures["empirical"].append(
            microseconds(lambda: [empirical.place(f, s, thresholds) for f, s in cases], DECISIONS)
        )
        figures["single"].append(
            microseconds(lambda: [single(f, s, thresholds) for f, s in cases], DECISIONS)
        )
        figures["decode"].append(
            microseconds(lambda: [decode_request(body) for _ in range(DECISIONS)], DECISIONS)
        )
    rules = sorted({empirical.place(f, s, thresholds).rule for f, s in cases})
    median = {name: statistics.median(values) for name, values in figures.items()}
    ratio = statistics.median(a / b for a, b in zip(figures["empirical"], figures["decode"], strict=True))
    print(f"rules used (0 is a hold): {rules}")
    print(f"empirical placement   {median['empirical']:6.2f} us a decision (median of {ROUNDS} rounds)")
    print(f"single-backend policy {median['single']:6.2f} us a decision")
    print(f"decoding the request  {median['decode']:6.2f} us a request; placement / decoding = {ratio:.2f}")
    print(f"at most {LIMIT:.0f} us a decision: {'yes' if median['empirical'] <= LIMIT else 'NO'}")


if __name__ == "__main__":
    main()
