"""Carries out the effects of the core on the broker: publishes, confirms, acknowledgements, log lines."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from scheduler.effects import NO_EFFECTS, Delivery, Effects, Send
from straightline import names
from straightline.amqp import Publisher
from straightline.errors import Rejected, StraightLineError
from straightline.support import failpoints
from straightline.support.event_log import EventLogger

log = EventLogger(__name__)

PUBLISH_RETRY_INTERVAL_S: Final = 1.0
"""Seconds until a message that the broker rejected is published again."""

LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING}


class EffectRunner:
    """Collects effects until `run`, so that one turn writes all of them in few frames.

    Args:
        publisher: publishes with confirms.
        confirmed: takes the confirm of a message.
        call_later: runs a function on the thread of the connection after some seconds.
        turn_soon: asks for another turn.
    """

    def __init__(
        self,
        publisher: Publisher,
        confirmed: Callable[[Send], Effects],
        call_later: Callable[[float, Callable[[], None]], object],
        turn_soon: Callable[[], None],
    ) -> None:
        self._publisher = publisher
        self._confirmed = confirmed
        self._call_later = call_later
        self._turn_soon = turn_soon
        self._sends: list[Send] = []
        self._acks: list[Delivery] = []
        self._stopping = False
        self.unconfirmed = 0  # messages that the broker has not confirmed

    def add(self, effects: Effects) -> None:
        """Collect effects, and log their events."""
        if effects is NO_EFFECTS:
            return
        self._sends += effects.send
        self._acks += effects.ack
        write(effects)

    def publish(self) -> None:
        """Publish the collected messages."""
        sends, self._sends = self._sends, []
        for send in sends:
            self.unconfirmed += 1
            self._publish(send)
            failpoints.hit(failpoints.Step.SCHEDULER_AFTER_PUBLISH)

    def take_tags(self, epoch: int) -> list[int]:
        """Return the tags to acknowledge on the connection of an epoch, each once."""
        tags = {delivery.tag for delivery in self._acks if delivery.epoch == epoch}
        self._acks.clear()
        if tags:
            failpoints.hit(failpoints.Step.SCHEDULER_AFTER_CONFIRM)
        return list(tags)

    def stop_retrying(self) -> None:
        """Stop publishing rejected messages again: their inputs are redelivered to the next scheduler."""
        self._stopping = True

    def _publish(self, send: Send) -> None:
        settled = partial(self._settled, send)
        try:
            self._publisher.send(send.outgoing, settled)
        except StraightLineError as error:
            settled(error)
        except Exception as error:  # a defect here must lose neither this message nor those behind it
            log.exception("message_not_sent", exchange=send.outgoing.exchange)
            settled(error)

    def _settled(self, send: Send, error: Exception | None) -> None:
        outgoing = send.outgoing
        if isinstance(error, Rejected) and not outgoing.mandatory:
            log.warning(
                "reply_not_delivered", request_id=outgoing.message_id, error=error
            )  # the ledger has its outcome
            error = None
        elif error is not None and outgoing.exchange == names.STATUS:
            # Later events replace them; published again, they would pile up while their exchange is missing.
            log.warning("status_events_dropped", error=error)
            error = None
        if error is None:
            self.unconfirmed -= 1
            self.add(self._confirmed(send))
            self._turn_soon()
            return
        if isinstance(error, StraightLineError):
            log.error(
                "message_not_confirmed",
                exchange=outgoing.exchange,
                error=error,
                retry_in_s=PUBLISH_RETRY_INTERVAL_S,
            )
        if not self._stopping:
            self._call_later(PUBLISH_RETRY_INTERVAL_S, lambda: self._publish(send))


def write(effects: Effects) -> None:
    """Log the events of effects."""
    for event in effects.log:
        log.log(LEVELS[event.level], event.name, **event.fields)
