"""Settings of the scheduler, from the environment."""

from pathlib import Path
from typing import Annotated

import msgspec

from scheduler.feedback.backfill import Backfill
from scheduler.feedback.interactive_yield import InteractiveYield
from scheduler.placement.breaker import BreakerConfig
from scheduler.placement.budget import RetryBudgetConfig
from scheduler.placement.model import Thresholds
from scheduler.placement.saturation import Limits

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True):
    """Settings, read once at the start.

    Attributes:
        broker_url: AMQP URL of RabbitMQ.
        models_dir: directory of the deployed bundles.
        f: threshold on a model's frequency, requests per second.
        window: seconds over which the frequency is measured.
        d: threshold on the size of the data, bytes.
        prefetch: interactive requests that may be unacknowledged.
        batch_prefetch: batch requests held while they wait for free slots.
        coalesce: maximum requests in one placement message.
        coalesce_bytes: maximum bytes of requests in one placement message, unless a single one is larger.
        hold_window: held requests kept in memory, with 256 KiB for each; the others wait in the broker.
        max_attempts: attempts after which a request has failed.
        remembered: ids kept to recognise a repeated one.
        retry_share: retries that a model may have, as a share of its first attempts.
        retry_floor: retries that a model may have in ten seconds beside that share.
        breaker_share: share of failed calls from which on a breaker opens.
        breaker_samples: calls below which no breaker opens.
        breaker_window: seconds over which calls are counted.
        most_held: held requests above which new interactive ones are rejected.
        longest_wait: expected wait in seconds above which they are rejected, too; None leaves it to
            deadlines.
        lease_grace: seconds after its deadline from which on a placed request without an outcome is lost.
        backfill_turn: target seconds until a slot that batch requests share is free again; it bounds how
            many share one.
        backfill_rest: seconds without batch work after each second of it, while interactive requests come.
        backfill_share: share of a backend's slots that batch requests may have; they get at least one.
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
        """Thresholds `F` and `D` of the policy."""
        return Thresholds(F=self.f, D=self.d)

    @property
    def breaker(self) -> BreakerConfig:
        """Conditions under which a breaker opens."""
        return BreakerConfig(self.breaker_share, self.breaker_samples, self.breaker_window)

    @property
    def allowance(self) -> RetryBudgetConfig:
        """Bounds on the retries of a model."""
        return RetryBudgetConfig(self.retry_share, self.retry_floor)

    def backfill(self, interactive_yield: InteractiveYield) -> Backfill:
        """Make the account of a backend's batch work."""
        return Backfill(
            max_requests=self.coalesce,
            turn_s=self.backfill_turn,
            share=self.backfill_share,
            interactive_yield=interactive_yield,
        )

    @property
    def limits(self) -> Limits:
        """Bounds on the queue above which new requests are rejected."""
        return Limits(self.most_held, self.longest_wait)
