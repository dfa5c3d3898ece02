"""Which deliveries one frame may acknowledge, held against a channel as the broker keeps it."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.broker.ack_tracker import AckTracker


class Channel:
    """The outstanding tags of a channel; AMQP 0-9-1 closes it on a tag that is not among them."""

    def __init__(self, last: int) -> None:
        self.outstanding = set(range(1, last + 1))

    def ack(self, tag: int, *, multiple: bool) -> None:
        assert tag in self.outstanding, "PRECONDITION_FAILED - unknown delivery tag"
        self.outstanding -= {each for each in self.outstanding if each <= tag} if multiple else {tag}


@given(st.data())
def test_exactly_the_tags_given_are_acknowledged_and_the_channel_stays_open(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(1, 25)))
    settled, channel, rest = AckTracker(), Channel(24), list(order)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        tags, rest = rest[:size], rest[size:]
        prefix, single = settled.add(tags)
        if prefix is not None:
            channel.ack(prefix, multiple=True)
        for tag in single:
            channel.ack(tag, multiple=False)
        assert channel.outstanding == set(rest)


def test_a_run_without_a_gap_is_one_frame() -> None:
    settled = AckTracker()
    assert settled.add([3, 1, 2]) == (3, [])
    assert settled.add([6, 4]) == (4, [6])
    assert settled.add([5, 7]) == (7, [])
