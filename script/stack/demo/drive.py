"""Driver of the demo: submits the workload with the SDK and compares the results with the labels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from script.stack.demo.workload import Burst, Images, Phase, encode
from straightline.client import Client
from straightline.errors import PartlySubmitted, ResultTimeout
from straightline.producer.submission import Submission

RESULT_TIMEOUT_S: Final = 300.0
"""Deadline of a request, and time limit of waiting for its result."""


@dataclass
class Tally:
    """Counts of the workload, as the producer sees it.

    Attributes:
        accepted: ids that the broker confirmed.
        refused: number of requests not confirmed.
        refusal: error of the last one.
        unanswered: ids without a result in time.
        images: number of labelled images.
        correct: number of images labelled correctly.
    """

    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    refusal: str = ""
    unanswered: list[str] = field(default_factory=list)
    images: int = 0
    correct: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of images labelled correctly; None without any."""
        return self.correct / self.images if self.images else None


@dataclass(frozen=True)
class Dataset:
    """Images, each of 64 values in 0..16, and their labels."""

    pixels: Sequence[Sequence[int]]
    labels: Sequence[int]


def drive(
    client: Client,
    phase: Phase,
    dataset: Dataset,
    tally: Tally,
    *,
    advance: Callable[[int], None],
) -> None:
    """Submit the requests of one phase at their times, wait for all results, and count them.

    Args:
        client: SDK client.
        phase: the requests and their times.
        dataset: images and labels.
        tally: updated.
        advance: called with the number of further results.
    """
    bodies = [[encode(dataset.pixels, chosen) for chosen in burst.requests] for burst in phase.bursts]
    time.sleep(phase.quiet)
    submitted: list[tuple[str, Images]] = []
    began = time.monotonic()
    for burst, encoded in zip(phase.bursts, bodies, strict=True):
        time.sleep(max(0.0, began + burst.at - time.monotonic()))
        submitted.extend(_submit(client, burst, encoded, tally))
    for identity, chosen in submitted:
        tally.accepted.append(identity)
        _collect(client, identity, [dataset.labels[position] for position in chosen], tally)
        advance(1)


def _submit(client: Client, burst: Burst, bodies: Sequence[bytes], tally: Tally) -> list[tuple[str, Images]]:
    """Submit a burst; return the confirmed ids, each with its images."""
    submissions = [Submission(model="digits", data=body, deadline=RESULT_TIMEOUT_S) for body in bodies]
    ids: Sequence[str | None]
    try:
        ids = client.submit_many(submissions)
    except PartlySubmitted as error:
        ids = error.ids
        tally.refused += len(submissions) - sum(identity is not None for identity in ids)
        tally.refusal = str(error)
    return [
        (identity, chosen)
        for identity, chosen in zip(ids, burst.requests, strict=False)
        if identity is not None
    ]


def _collect(client: Client, identity: str, labels: Sequence[int], tally: Tally) -> None:
    try:
        outcome = client.result(identity, timeout=RESULT_TIMEOUT_S)
    except ResultTimeout:
        tally.unanswered.append(identity)
        return
    if outcome.state != "succeeded":
        return
    found = _labels(outcome.result)
    tally.images += len(labels)
    tally.correct += sum(label == answer for label, answer in zip(labels, found, strict=True))


def _labels(result: Any) -> list[int]:
    outputs = msgspec.json.decode(result)["outputs"]
    return next(list(output["data"]) for output in outputs if output["name"] == "label")
