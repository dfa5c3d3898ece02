"""What the scheduler reads from the environment."""

from pathlib import Path
from typing import Annotated

import msgspec

from scheduler.dispatch.backfill import Backfill, InteractiveYield
from scheduler.placement.breaker import BreakerConfig
from scheduler.placement.budget import RetryBudgetConfig
from scheduler.placement.model import Thresholds
from scheduler.placement.saturation import Limits

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True):
    """Read once, at the start.

    Attributes:
        broker_url: AMQP URL of RabbitMQ.
        models_dir: directory of the deployed bundles.
        f: threshold on a model's frequency, requests per second.
        window: over how many seconds the frequency is taken.
        d: threshold on the data's size, bytes.
        prefetch: interactive requests read ahead of their confirms.
        batch_prefetch: batch requests held while they wait for free slots.
        coalesce: most requests in one placement message.
        coalesce_bytes: most bytes of requests in one placement message, unless one alone has more.
        hold_window: held requests kept in memory, with 256 KiB for each; the others wait in the broker.
        max_attempts: backends asked before a request has failed.
        remembered: ids kept to recognise a repeated one.
        retry_share: of a model's first attempts, how many retries there may be.
        retry_floor: retries that there may be in ten seconds besides.
        breaker_share: of a backend's calls, which part must fail for its breaker to open.
        breaker_samples: calls below which no breaker opens.
        breaker_window: over how many seconds calls are counted.
        most_held: held requests above which new interactive ones are rejected.
        longest_wait: expected seconds of waiting above which they are, too; None leaves it to deadlines.
        lease_grace: seconds after its deadline from which on a placed request without an outcome is lost.
        backfill_turn: seconds in which a slot that batch requests share shall be free again; so many go
            together as can be answered in that time.
        backfill_rest: seconds without batch work after each second of it, while interactive requests come.
        backfill_share: of a backend's slots, how many batch requests may have; one in any case.
    """

    broker_url: str
    models_dir: Path
    f: Positive = 50.0
    window: Positive = 10.0
    d: Count = 262_144
    prefetch: Count = 512
    batch_prefetch: Count = 64
    coalesce: Count = 64
    coalesce_bytes: Count = 262_144
    hold_window: Count = 256
    max_attempts: Count = 3
    remembered: Count = 100_000
    retry_share: Share = 0.5
    retry_floor: Count = 100
    breaker_share: Share = 0.45
    breaker_samples: Count = 5
    breaker_window: Positive = 10.0
    most_held: Count = 250_000
    longest_wait: Positive | None = None
    lease_grace: Positive = 30.0
    backfill_turn: Positive = 0.025
    backfill_share: Share = 0.25
    backfill_rest: Amount = 6.0

    @property
    def thresholds(self) -> Thresholds:
        """`F` and `D`."""
        return Thresholds(F=self.f, D=self.d)

    @property
    def breaker(self) -> BreakerConfig:
        """When a breaker opens."""
        return BreakerConfig(self.breaker_share, self.breaker_samples, self.breaker_window)

    @property
    def allowance(self) -> RetryBudgetConfig:
        """How many retries there may be."""
        return RetryBudgetConfig(self.retry_share, self.retry_floor)

    def backfill(self, interactive_yield: InteractiveYield) -> Backfill:
        """Return the account of a backend's batch work."""
        return Backfill(
            most=self.coalesce,
            turn=self.backfill_turn,
            share=self.backfill_share,
            interactive_yield=interactive_yield,
        )

    @property
    def limits(self) -> Limits:
        """What a new request may find before it is refused."""
        return Limits(self.most_held, self.longest_wait)
