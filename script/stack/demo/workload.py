"""Workload of the demo: times and images of all requests, planned from a seed.

Its phases cross the threshold `F` upwards and downwards and its sizes cross `D`, so that each of the five
rules is used.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from script.stack.processes.plan import Thresholds

PIXELS: Final = 64
MIN_LARGE_IMAGES: Final = 512
"""From this number of images, a request has at least 65,536 bytes: a pixel takes two or more (`0,`)."""
MAX_LARGE_IMAGES: Final = 4_000
MAX_SMALL_IMAGES: Final = 300
"""Up to this number of images, a request has less than 65,536 bytes: a pixel takes at most three (`16,`)."""
D_BYTES: Final = PIXELS * 2 * MIN_LARGE_IMAGES
WINDOW_S: Final = 2.0

Images = tuple[int, ...]
"""One request: indexes of its images in the dataset."""


@dataclass(frozen=True)
class Burst:
    """Requests submitted together, `at` seconds after the start of the phase."""

    at: float
    requests: tuple[Images, ...]


@dataclass(frozen=True)
class Phase:
    """A phase of the workload; the next one starts when all its results have arrived.

    Attributes:
        name: of the phase.
        purpose: what it shows, for the report.
        quiet: seconds without a request before it starts.
        bursts: its requests, ordered by time.
    """

    name: str
    purpose: str
    quiet: float
    bursts: tuple[Burst, ...]

    @property
    def size(self) -> int:
        """Number of requests."""
        return sum(len(burst.requests) for burst in self.bursts)


def thresholds(requests: int) -> Thresholds:
    """Choose `F` so that the phase `peak` crosses it and the other phases are not slow."""
    return Thresholds(F=float(min(100, max(10, requests // 12))), window=WINDOW_S, D=D_BYTES)


def workload(requests: int, images: int, seed: int) -> tuple[Phase, ...]:
    """Plan the phases.

    Args:
        requests: number of requests, at least 1.
        images: number of images to choose from.
        seed: the same seed gives the same workload.
    """
    rng = random.Random(seed)  # noqa: S311 - not for security
    shares = _shares(requests)
    limit = thresholds(requests)
    per_window = limit.F * limit.window

    def small(count: int) -> list[Images]:
        return [_small(rng, images) for _ in range(count)]

    pace = 0.4 * limit.F
    burst_size = int(min(24, 0.5 * per_window))
    bursts_per_window = int(0.8 * per_window) // burst_size
    phases = (
        Phase("calm", "few small requests: local", 0.0, _spread(small(shares["calm"]), 1, 1 / pace)),
        Phase(
            "bursts",
            "small ones together: local, then container, then serverless",
            0.0,
            _spread(small(shares["bursts"]), burst_size, 1.05 * limit.window / bursts_per_window),
        ),
        Phase(
            "peak", "more than F requests/s: serverless", 0.0, _spread(small(shares["peak"]), requests, 0.0)
        ),
        Phase(
            "large",
            "D bytes or more: GPU container",
            0.0,
            _spread([_large(rng, images) for _ in range(shares["large"])], 2, 0.1),
        ),
        Phase(
            "calm again", "f_t below F again: local", WINDOW_S, _spread(small(shares["again"]), 1, 1 / pace)
        ),
    )
    return tuple(phase for phase in phases if phase.size)


def encode(pixels: Sequence[Sequence[int]], chosen: Images) -> bytes:
    """Return the V2 infer request for some images.

    Args:
        pixels: 64 values in 0..16 for each image.
        chosen: indexes of the images.
    """
    data = ",".join([",".join(map(str, pixels[position])) for position in chosen])
    head = f'{{"inputs":[{{"name":"images","shape":[{len(chosen)},{PIXELS}],"datatype":"FP32","data":['
    return f"{head}{data}]}}]}}".encode()


def _shares(requests: int) -> dict[str, int]:
    """Divide the requests among the phases; the remainder goes to `peak`."""
    shares = {
        "calm": requests * 3 // 100,
        # A few bursts are sure to use all slots at once; one or two may not on a busy machine.
        "bursts": requests * (12 if requests >= 1_000 else 24) // 100,
        "large": max(requests * 3 // 200, min(3, requests // 10)),
        "again": requests * 3 // 100,
    }
    return shares | {"peak": requests - sum(shares.values())}


def _spread(requests: Sequence[Images], together: int, every: float) -> tuple[Burst, ...]:
    return tuple(
        Burst(index * every, tuple(requests[start : start + together]))
        for index, start in enumerate(range(0, len(requests), together))
    )


def _small(rng: random.Random, images: int) -> Images:
    # Most have up to 8 images, 2 % up to 300; all stay below D.
    count = rng.randint(20, MAX_SMALL_IMAGES) if rng.random() < 0.02 else rng.randint(1, 8)
    return tuple(rng.choices(range(images), k=count))


def _large(rng: random.Random, images: int) -> Images:
    count = int(rng.triangular(MIN_LARGE_IMAGES, MAX_LARGE_IMAGES, MIN_LARGE_IMAGES))
    return tuple(rng.choices(range(images), k=count))
