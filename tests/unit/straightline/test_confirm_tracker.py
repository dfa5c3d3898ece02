"""The account of what is published and not answered yet, against a naive model of a broker."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from straightline.amqp.publishing.confirm_tracker import ConfirmTracker

NEVER = float("inf")


def filled(*items: str) -> ConfirmTracker[str]:
    outbox: ConfirmTracker[str] = ConfirmTracker()
    for item in items:
        outbox.put(item, NEVER)
    return outbox


def take_all(outbox: ConfirmTracker[str]) -> list[tuple[int, str]]:
    taken = []
    while (each := outbox.take()) is not None:
        taken.append(each)
    return taken


def test_tags_count_from_one_in_the_order_of_publishing() -> None:
    assert take_all(filled("a", "b", "c")) == [(1, "a"), (2, "b"), (3, "c")]


def test_an_ack_with_multiple_settles_all_up_to_it_and_nothing_twice() -> None:
    outbox = filled("a", "b", "c", "d")
    take_all(outbox)
    assert outbox.settle(2, multiple=False) == [("b", None)]
    assert outbox.settle(3, multiple=True) == [("a", None), ("c", None)]
    assert outbox.settle(3, multiple=True) == []
    assert outbox.settle(1, multiple=False) == []
    assert len(outbox) == 1


def test_an_ack_of_tag_zero_with_multiple_settles_all_that_is_out() -> None:
    outbox = filled("a", "b")
    outbox.take()
    assert outbox.settle(0, multiple=True) == [("a", None)]
    assert take_all(outbox) == [(2, "b")]
    assert outbox.settle(0, multiple=True) == [("b", None)]


def test_an_ack_of_a_tag_that_was_never_given_out_settles_nothing_later() -> None:
    outbox = filled("a", "b")
    outbox.take()
    assert outbox.settle(99, multiple=True) == [("a", None)]
    outbox.take()
    assert outbox.settle(2, multiple=True) == [("b", None)]


def test_a_returned_message_is_settled_with_its_reason_by_the_ack_that_follows() -> None:
    outbox = filled("a", "b", "c")
    take_all(outbox)
    outbox.returned(2, "NO_ROUTE")
    assert outbox.settle(3, multiple=True) == [("a", None), ("b", "NO_ROUTE"), ("c", None)]


def test_after_a_loss_unconfirmed_items_go_first_in_order_with_new_tags() -> None:
    outbox = filled("a", "b", "c", "d")
    for _ in range(3):
        outbox.take()
    outbox.settle(2, multiple=False)
    outbox.returned(1, "NO_ROUTE")
    outbox.disconnected()
    assert take_all(outbox) == [(1, "a"), (2, "c"), (3, "d")]
    assert outbox.settle(3, multiple=True) == [("a", None), ("c", None), ("d", None)]


def test_an_item_that_could_not_be_written_returns_its_tag() -> None:
    outbox = filled("a", "b")
    outbox.take()
    outbox.untake(1)
    assert outbox.take() == (1, "b")
    with pytest.raises(ValueError, match="not the last"):
        outbox.untake(7)


def test_expired_items_are_removed_and_a_late_ack_is_ignored() -> None:
    outbox: ConfirmTracker[str] = ConfirmTracker()
    for number, item in enumerate("abcd"):
        outbox.put(item, float(number))
    outbox.take()
    outbox.take()
    assert outbox.expire(2.0) == ["a", "b", "c"]
    assert outbox.settle(2, multiple=True) == []
    assert outbox.take() == (3, "d")
    assert outbox.clear() == ["d"]
    assert len(outbox) == 0


class OutboxAgainstBroker(RuleBasedStateMachine):
    """Every item comes out just once, in order of publishing within each answer, whatever the broker does."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox: ConfirmTracker[int] = ConfirmTracker()
        self.clock = 0
        self.unsettled: list[int] = []
        self.broker: dict[int, int] = {}
        self.returned: set[int] = set()
        self.last_tag = 0

    @rule()
    def put(self) -> None:
        self.clock += 1
        self.outbox.put(self.clock, float(self.clock))
        self.unsettled.append(self.clock)

    @rule()
    def take(self) -> None:
        taken = self.outbox.take()
        waiting = [item for item in self.unsettled if item not in self.broker.values()]
        if taken is None:
            assert not waiting
            return
        self.last_tag += 1
        assert taken == (self.last_tag, waiting[0])
        self.broker[self.last_tag] = taken[1]

    @precondition(lambda self: self.last_tag)
    @rule(data=st.data(), multiple=st.booleans())
    def settle(self, data: st.DataObject, multiple: bool) -> None:
        tag = data.draw(st.integers(0 if multiple else 1, self.last_tag))
        upto = tag or self.last_tag
        tags = [each for each in self.broker if (each <= upto if multiple else each == tag)]
        expected = [(self.broker.pop(each), "why" if each in self.returned else None) for each in tags]
        assert self.outbox.settle(tag, multiple=multiple) == expected
        for item, _ in expected:
            self.unsettled.remove(item)

    @precondition(lambda self: self.broker)
    @rule(data=st.data())
    def return_one(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.broker)))
        self.outbox.returned(tag, "why")
        self.returned.add(tag)

    @rule()
    def lose(self) -> None:
        self.outbox.disconnected()
        self.broker.clear()
        self.returned.clear()
        self.last_tag = 0

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        now = data.draw(st.sampled_from(self.unsettled))
        gone = [item for item in self.unsettled if item <= now]
        assert sorted(self.outbox.expire(float(now))) == gone
        self.unsettled = [item for item in self.unsettled if item > now]
        self.broker = {tag: item for tag, item in self.broker.items() if item > now}

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.outbox) == len(self.unsettled)
        assert self.outbox.out() == list(self.broker.items())


TestOutboxAgainstBroker = OutboxAgainstBroker.TestCase
