"""Attribution of a channel error to messages; all others are published again."""

from collections.abc import Mapping

from straightline.amqp.publishing.outgoing import Outgoing
from straightline.errors import Rejected, StraightLineError, Unroutable

NOT_FOUND = 404
ACCESS_REFUSED = 403
PRECONDITION_FAILED = 406


def errors_by_tag(code: int, text: str, out: Mapping[int, Outgoing]) -> dict[int, StraightLineError]:
    """Return an error for each message that may have made the broker close the channel.

    RabbitMQ names the exchange in its reply text (`no exchange 'x' in vhost '/'`, `access to exchange 'x'
    ... refused`), or the size of a message that is too large.

    Args:
        code: AMQP reply code.
        text: AMQP reply text.
        out: unconfirmed messages of the channel, by delivery tag.

    Returns:
        Errors by delivery tag; empty where the text names no cause.
    """
    if code == NOT_FOUND:
        return {
            tag: Unroutable(
                f"the broker has no exchange {message.exchange!r}: create the topology with "
                "`python -m broker_config`"
            )
            for tag, message in out.items()
            if f"'{message.exchange}'" in text
        }
    if code == ACCESS_REFUSED:
        return {
            tag: Rejected(
                f"the broker user may not write to {message.exchange!r}: grant the permission or use "
                "another user"
            )
            for tag, message in out.items()
            if f"'{message.exchange}'" in text
        }
    if code == PRECONDITION_FAILED and "larger than" in text:
        words = text.split()
        return {
            tag: Rejected(
                f"the message has {len(message.body)} bytes, more than the broker allows ({text}): send "
                "large data by reference"
            )
            for tag, message in out.items()
            if str(len(message.body)) in words
        }
    return {}
