"""The report does not depend on the random choices of the workload."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from script.stack.demo.workload import (
    D_BYTES,
    MAX_LARGE_IMAGES,
    MAX_SMALL_IMAGES,
    MIN_LARGE_IMAGES,
    PIXELS,
    WINDOW_S,
    Phase,
    encode,
    thresholds,
    workload,
)

IMAGES = 450


def _named(phases: tuple[Phase, ...], name: str) -> Phase:
    return next(phase for phase in phases if phase.name == name)


@settings(max_examples=30)
@given(requests=st.integers(1, 5_000), seed=st.integers(0, 2**32))
def test_the_workload_has_the_given_number_of_requests(requests: int, seed: int) -> None:
    assert sum(phase.size for phase in workload(requests, IMAGES, seed)) == requests


@settings(max_examples=20)
@given(requests=st.integers(1, 3_000), seed=st.integers(0, 2**32))
def test_every_request_has_images_that_exist(requests: int, seed: int) -> None:
    for phase in workload(requests, IMAGES, seed):
        for burst in phase.bursts:
            for images in burst.requests:
                assert images
                assert all(0 <= image < IMAGES for image in images)


def test_the_same_seed_makes_the_same_workload() -> None:
    assert workload(500, IMAGES, 7) == workload(500, IMAGES, 7)
    assert workload(500, IMAGES, 7) != workload(500, IMAGES, 8)


@pytest.mark.parametrize("requests", [200, 500, 2_000, 10_000])
def test_only_the_peak_crosses_f(requests: int) -> None:
    limit = thresholds(requests)
    for phase in workload(requests, IMAGES, 1):
        moments = [burst.at for burst in phase.bursts for _ in burst.requests]
        busiest = max(sum(1 for at in moments if start - WINDOW_S < at <= start) for start in moments)
        crosses = busiest / WINDOW_S > limit.F
        assert crosses == (phase.name == "peak"), phase.name


@pytest.mark.parametrize("requests", [200, 500, 1_000, 2_000])
def test_calm_and_bursts_together_stay_below_f(requests: int) -> None:
    # The window spans the boundary of the two phases.
    limit = thresholds(requests)
    phases = workload(requests, IMAGES, 1)
    calm, bursts = _named(phases, "calm"), _named(phases, "bursts")
    last_calm = calm.bursts[-1].at
    moments = [burst.at for burst in calm.bursts] + [
        last_calm + burst.at for burst in bursts.bursts for _ in burst.requests
    ]
    busiest = max(sum(1 for at in moments if start - WINDOW_S < at <= start) for start in moments)
    assert busiest / WINDOW_S <= limit.F


@pytest.mark.parametrize("requests", [200, 2_000])
def test_a_burst_uses_more_than_local_and_container_slots(requests: int) -> None:
    bursts = _named(workload(requests, IMAGES, 1), "bursts").bursts
    assert sum(1 for burst in bursts if len(burst.requests) > 4 + 2) >= 3


@pytest.mark.parametrize("requests", [200, 2_000])
def test_the_window_is_empty_before_the_last_phase(requests: int) -> None:
    assert _named(workload(requests, IMAGES, 1), "calm again").quiet >= WINDOW_S


@pytest.mark.parametrize("pixel", [0, 16])
def test_sizes_stay_on_their_side_of_d_whatever_the_pixels(pixel: int) -> None:
    image = [[pixel] * PIXELS]
    assert len(encode(image, (0,) * MIN_LARGE_IMAGES)) >= D_BYTES
    assert len(encode(image, (0,) * MAX_SMALL_IMAGES)) < D_BYTES


def test_only_the_phase_large_has_requests_of_d_bytes() -> None:
    for phase in workload(2_000, IMAGES, 1):
        for burst in phase.bursts:
            for images in burst.requests:
                assert (len(images) >= MIN_LARGE_IMAGES) == (phase.name == "large")
                assert len(images) <= MAX_LARGE_IMAGES


def test_a_request_is_a_v2_request_of_the_model() -> None:
    pixels = [[position] * PIXELS for position in range(3)]
    body = json.loads(encode(pixels, (2, 0)))
    assert body == {
        "inputs": [
            {
                "name": "images",
                "shape": [2, PIXELS],
                "datatype": "FP32",
                "data": [2] * PIXELS + [0] * PIXELS,
            }
        ]
    }
