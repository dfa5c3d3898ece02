"""Which messages a broker's channel error is about; the others are innocent and go out again."""

from collections.abc import Mapping

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.errors import Rejected, StraightLineError, Unroutable

NOT_FOUND = 404
ACCESS_REFUSED = 403
PRECONDITION_FAILED = 406


def errors_by_tag(code: int, text: str, out: Mapping[int, Outgoing]) -> dict[int, StraightLineError]:
    """Find the messages that made the broker close the channel.

    RabbitMQ names the exchange in its reply text (`no exchange 'x' in vhost '/'`, `access to exchange 'x'
    ... refused`), and the size of a message that it finds too large.

    Args:
        code: AMQP reply code.
        text: the reply text.
        out: what was unconfirmed on the channel, by tag.

    Returns:
        The error of each guilty message by its tag; empty where the text tells nothing.
    """
    if code == NOT_FOUND:
        return {
            tag: Unroutable(
                f"the broker has no exchange {message.exchange!r}: put the topology on it, "
                "`python -m broker_config`"
            )
            for tag, message in out.items()
            if f"'{message.exchange}'" in text
        }
    if code == ACCESS_REFUSED:
        return {
            tag: Rejected(
                f"the broker's user may not write to {message.exchange!r}: give it the permission, or use "
                "another user"
            )
            for tag, message in out.items()
            if f"'{message.exchange}'" in text
        }
    if code == PRECONDITION_FAILED and "larger than" in text:
        words = text.split()
        return {
            tag: Rejected(f"the message is {len(message.body)} bytes, the broker takes less ({text})")
            for tag, message in out.items()
            if str(len(message.body)) in words
        }
    return {}
