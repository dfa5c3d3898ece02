"""Making the requests of a workload with the SDK, and holding the answers against the labels."""

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
"""Seconds until a request's deadline, and that we wait for its answer."""


@dataclass
class Tally:
    """What came of the workload, as the producer sees it.

    Attributes:
        accepted: ids that the broker confirmed.
        refused: how many were not confirmed.
        refusal: why, of the last of them.
        unanswered: ids without an answer in time.
        images: how many were labelled.
        right: how many of these rightly.
    """

    accepted: list[str] = field(default_factory=list)
    refused: int = 0
    refusal: str = ""
    unanswered: list[str] = field(default_factory=list)
    images: int = 0
    right: int = 0

    @property
    def accuracy(self) -> float | None:
        """Share of the images that were labelled right; None without any."""
        return self.right / self.images if self.images else None


@dataclass(frozen=True)
class Dataset:
    """What requests are made of: every image's 64 values of 0..16, and what every image shows."""

    pixels: Sequence[Sequence[int]]
    labels: Sequence[int]


def drive(
    client: Client,
    phase: Phase,
    material: Dataset,
    tally: Tally,
    *,
    advance: Callable[[int], None],
) -> None:
    """Make the requests of one phase at their times, wait for all answers, and count them.

    Args:
        client: of the SDK.
        phase: what to ask.
        material: images and labels.
        tally: counts on.
        advance: told how many more answers came.
    """
    bodies = [[encode(material.pixels, chosen) for chosen in clump.requests] for clump in phase.clumps]
    time.sleep(phase.quiet)
    asked: list[tuple[str, Images]] = []
    began = time.monotonic()
    for clump, encoded in zip(phase.clumps, bodies, strict=True):
        time.sleep(max(0.0, began + clump.at - time.monotonic()))
        asked.extend(_ask(client, clump, encoded, tally))
    for identity, chosen in asked:
        tally.accepted.append(identity)
        _collect(client, identity, [material.labels[position] for position in chosen], tally)
        advance(1)


def _ask(client: Client, clump: Burst, bodies: Sequence[bytes], tally: Tally) -> list[tuple[str, Images]]:
    """Submit together; return the ids that the broker confirmed, each with its images."""
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
        for identity, chosen in zip(ids, clump.requests, strict=False)
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
    tally.right += sum(label == answer for label, answer in zip(labels, found, strict=True))


def _labels(result: Any) -> list[int]:
    outputs = msgspec.json.decode(result)["outputs"]
    return next(list(output["data"]) for output in outputs if output["name"] == "label")
