"""References to deliveries: each one is acknowledged once, after its last reference is released."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.effects import Delivery, GrowingOwnership, Ownership, PendingEffects
from straightline.amqp.publishing.outgoing import Outgoing

DELIVERIES = 4


def deliveries(count: int = DELIVERIES) -> list[Delivery]:
    return [Delivery("requests", 1, tag) for tag in range(1, count + 1)]


def taken(effects: PendingEffects) -> list[int]:
    return [delivery.tag for delivery in effects.take().ack]


def outgoing() -> Outgoing:
    return Outgoing(exchange="e", routing_key="k", body=b"{}")


@given(st.data())
def test_each_delivery_is_acknowledged_once_after_its_last_reference_in_any_order(
    data: st.DataObject,
) -> None:
    """The owner of a turn holds every delivery, while others take references and give them up."""
    effects, all_deliveries = PendingEffects(), deliveries()
    turn = effects.owning(*all_deliveries)
    fixed: list[Ownership] = []
    growing: list[GrowingOwnership] = [effects.growing() for _ in range(3)]
    for step in data.draw(st.lists(st.sampled_from(["own", "add", "absorb", "release"]), max_size=20)):
        if step == "own":
            fixed.append(effects.owning(*data.draw(st.lists(st.sampled_from(all_deliveries)))))
        elif step == "add":
            data.draw(st.sampled_from(growing)).add(data.draw(st.sampled_from(all_deliveries)))
        elif step == "absorb":
            first, second = data.draw(st.permutations(growing))[:2]
            first.absorb(second)
        else:
            data.draw(st.sampled_from([*fixed, *growing])).release()
        assert taken(effects) == []
    owners: list[Ownership] = data.draw(st.permutations([turn, *fixed, *growing]))
    acknowledged: Counter[int] = Counter()
    for owner in owners:
        owner.release()
        acknowledged.update(taken(effects))
        held = {delivery.tag for other in owners for delivery in other.deliveries}
        assert not held & acknowledged.keys()
        owner.release()
        assert taken(effects) == []
    assert acknowledged == Counter({delivery.tag: 1 for delivery in all_deliveries})


@given(st.data())
def test_a_delivery_with_an_abandoned_reference_is_never_acknowledged(data: st.DataObject) -> None:
    effects, all_deliveries = PendingEffects(), deliveries()
    owners = [
        effects.owning(*data.draw(st.lists(st.sampled_from(all_deliveries), unique=True))) for _ in range(4)
    ]
    abandoned = data.draw(st.sampled_from(owners))
    lost = {delivery.tag for delivery in abandoned.deliveries}
    held = {delivery.tag for owner in owners for delivery in owner.deliveries}
    abandoned.abandon()
    for owner in data.draw(st.permutations(owners)):
        owner.release()
    assert set(taken(effects)) == held - lost


def test_leaving_the_block_with_an_error_releases_too() -> None:
    effects, (delivery,) = PendingEffects(), deliveries(1)
    with pytest.raises(ValueError, match="handler"), effects.owning(delivery):
        raise ValueError("handler")
    assert taken(effects) == [1]


def test_a_disowned_delivery_is_not_acknowledged_even_by_an_earlier_release() -> None:
    effects, (first, second) = PendingEffects(), deliveries(2)
    with effects.owning(first, second):
        pass
    first.disown()
    assert taken(effects) == [2]
    assert taken(effects) == []


def test_the_causes_of_a_message_wait_for_its_confirm() -> None:
    effects, (delivery,) = PendingEffects(), deliveries(1)
    with effects.owning(delivery):
        effects.send(outgoing(), delivery)
    (send,) = effects.take().send
    assert send.causes == (delivery,)
    assert taken(effects) == []
    send.owned.release()
    assert taken(effects) == [1]


def test_a_cause_of_two_messages_waits_for_both_confirms() -> None:
    effects, (delivery,) = PendingEffects(), deliveries(1)
    effects.send(outgoing(), delivery)
    effects.send(outgoing(), delivery)
    first, second = effects.take().send
    second.owned.release()
    assert taken(effects) == []
    first.owned.release()
    assert taken(effects) == [1]


def test_absorbed_references_move_and_the_emptied_owner_can_be_filled_again() -> None:
    effects, (first, second, third) = PendingEffects(), deliveries(3)
    left, right = effects.growing(), effects.growing()
    left.add(first)
    right.add(second)
    left.absorb(right)
    right.add(third)
    right.release()
    assert taken(effects) == [3]
    left.release()
    assert taken(effects) == [1, 2]


def test_effects_are_taken_once_and_in_order() -> None:
    effects = PendingEffects()
    effects.log("info", "leading", name="a")
    effects.log("warning", "pool_down")
    assert effects.take().log == [("info", "leading", {"name": "a"}), ("warning", "pool_down", {})]
    assert effects.take() == ((), (), ())
