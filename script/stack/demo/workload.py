"""The demo's workload: which requests are made when, of which images; decided here, without clock or I/O.

Its phases cross the threshold `F` upwards and downwards, and its sizes cross `D`, so that each of the five
rules has to decide.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from script.stack.processes.plan import Thresholds

PIXELS: Final = 64
MIN_LARGE_IMAGES: Final = 512
"""Images from which on a request has at least 65,536 bytes: a pixel takes two bytes or more (`0,`)."""
MAX_LARGE_IMAGES: Final = 4_000
MAX_SMALL_IMAGES: Final = 300
"""Images up to which a request stays below 65,536 bytes: a pixel takes three bytes at most (`16,`)."""
D_BYTES: Final = PIXELS * 2 * MIN_LARGE_IMAGES
WINDOW_S: Final = 2.0

Images = tuple[int, ...]
"""One request: positions of its images among those that the model has not seen."""


@dataclass(frozen=True)
class Burst:
    """Requests made at the same moment, `at` seconds after the phase began."""

    at: float
    requests: tuple[Images, ...]


@dataclass(frozen=True)
class Phase:
    """A stretch of the workload; the next one begins when all its answers are there.

    Attributes:
        name: a word.
        purpose: what it is meant to show, for people.
        quiet: seconds without any request before it begins.
        clumps: in the order of time.
    """

    name: str
    purpose: str
    quiet: float
    clumps: tuple[Burst, ...]

    @property
    def size(self) -> int:
        """How many requests it makes."""
        return sum(len(clump.requests) for clump in self.clumps)


def thresholds(requests: int) -> Thresholds:
    """Choose `F` so that a burst of so many requests crosses it, and the other phases need not be slow."""
    return Thresholds(F=float(min(100, max(10, requests // 12))), window=WINDOW_S, D=D_BYTES)


def workload(requests: int, images: int, seed: int) -> tuple[Phase, ...]:
    """Lay out so many requests of a model whose unseen images number `images`.

    Args:
        requests: how many, at least 1.
        images: how many images there are to choose from.
        seed: the same one gives the same workload.
    """
    chance = random.Random(seed)  # noqa: S311 - it lays out a demo
    shares = _shares(requests)
    limit = thresholds(requests)
    per_window = limit.F * limit.window

    def small(count: int) -> list[Images]:
        return [_small(chance, images) for _ in range(count)]

    pace = 0.4 * limit.F
    clump = int(min(24, 0.5 * per_window))
    clumps_per_window = int(0.8 * per_window) // clump
    phases = (
        Phase("calm", "few small requests: local", 0.0, _spread(small(shares["calm"]), 1, 1 / pace)),
        Phase(
            "clumps",
            "small ones at once: local, then container, then serverless",
            0.0,
            _spread(small(shares["clumps"]), clump, 1.05 * limit.window / clumps_per_window),
        ),
        Phase("burst", "more than F: serverless", 0.0, _spread(small(shares["burst"]), requests, 0.0)),
        Phase(
            "large",
            "D bytes and more: GPU container",
            0.0,
            _spread([_large(chance, images) for _ in range(shares["large"])], 2, 0.1),
        ),
        Phase(
            "calm again", "the window is over: local", WINDOW_S, _spread(small(shares["again"]), 1, 1 / pace)
        ),
    )
    return tuple(phase for phase in phases if phase.size)


def encode(pixels: Sequence[Sequence[int]], chosen: Images) -> bytes:
    """Write the V2 infer request for these images.

    Args:
        pixels: of every image, its 64 values of 0..16.
        chosen: positions in it.
    """
    data = ",".join([",".join(map(str, pixels[position])) for position in chosen])
    head = f'{{"inputs":[{{"name":"images","shape":[{len(chosen)},{PIXELS}],"datatype":"FP32","data":['
    return f"{head}{data}]}}]}}".encode()


def _shares(requests: int) -> dict[str, int]:
    """Divide the requests among the phases; what rounding leaves goes to the burst."""
    shares = {
        "calm": requests * 3 // 100,
        # A few clumps take all slots at once for certain; one or two might not, on a busy machine.
        "clumps": requests * (12 if requests >= 1_000 else 24) // 100,
        "large": max(requests * 3 // 200, min(3, requests // 10)),
        "again": requests * 3 // 100,
    }
    return shares | {"burst": requests - sum(shares.values())}


def _spread(requests: Sequence[Images], together: int, every: float) -> tuple[Burst, ...]:
    return tuple(
        Burst(index * every, tuple(requests[start : start + together]))
        for index, start in enumerate(range(0, len(requests), together))
    )


def _small(chance: random.Random, images: int) -> Images:
    # Most have a handful of images, a few some hundred; all stay below D.
    count = chance.randint(20, MAX_SMALL_IMAGES) if chance.random() < 0.02 else chance.randint(1, 8)
    return tuple(chance.choices(range(images), k=count))


def _large(chance: random.Random, images: int) -> Images:
    count = int(chance.triangular(MIN_LARGE_IMAGES, MAX_LARGE_IMAGES, MIN_LARGE_IMAGES))
    return tuple(chance.choices(range(images), k=count))
