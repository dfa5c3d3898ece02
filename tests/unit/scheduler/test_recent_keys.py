"""The caches of ids and deliveries have a small fixed size, and recognise repeated ones."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from scheduler.admission.delivery_dedup import DeliveryDeduplicator
from scheduler.admission.idempotency import IdempotencyCache
from scheduler.admission.recent_keys import FixedSizeKeyCache
from scheduler.effects import Delivery
from straightline import names
from straightline.ids import new_id

SIZE = 10_000
DIGEST = "00112233445566778899aabbccddeeff"


def keys(count: int, width: int = 16) -> Iterator[bytes]:
    return (hashlib.blake2b(str(number).encode(), digest_size=width).digest() for number in range(count))


def test_the_last_keys_are_known_and_older_ones_make_room() -> None:
    lately = FixedSizeKeyCache(SIZE, 16)
    slots = {key: lately.add(key) for key in keys(10 * SIZE)}
    recent = list(slots)[-SIZE:]
    known = [key for key in recent if lately.find(key) == slots[key]]
    assert len(known) >= 0.99 * SIZE
    assert set(recent[SIZE // 2 :]) <= set(known), "only the oldest make room before their time"
    assert lately.find(next(iter(slots))) is None
    assert 2 * SIZE <= lately.slots < 4 * SIZE


@given(
    st.lists(
        st.tuples(st.sampled_from([bytes(pair) for pair in product(b"\0\1\xff", repeat=2)]), st.booleans())
    )
)
def test_it_behaves_like_a_dictionary(steps: list[tuple[bytes, bool]]) -> None:
    """They are made of few different bytes, so that keys also stand across two others."""
    lately, usual = FixedSizeKeyCache(1, 2), dict[bytes, int]()
    for key, kept in steps:
        assert lately.find(key) == usual.get(key)
        if kept and key not in usual and key != b"\xff\xff":
            usual[key] = lately.add(key)
        elif not kept and key in usual:
            lately.remove(usual.pop(key))


def test_no_key_is_known_before_it_was_added() -> None:
    idempotency = IdempotencyCache(SIZE)
    for digit in "0f":
        assert idempotency.find("-".join(digit * count for count in (8, 4, 4, 4, 12))) is None


def test_an_id_and_its_message_take_few_bytes_and_take_them_at_the_start() -> None:
    idempotency, redeliveries = IdempotencyCache(SIZE), DeliveryDeduplicator(SIZE)

    def work(count: int) -> None:
        for tag in range(count):
            request_id = new_id()
            delivery = Delivery(names.INTERACTIVE_QUEUE, 1, tag, request_id)
            assert redeliveries.take(delivery, request_id) == ("new", delivery)
            idempotency.remember(request_id, DIGEST)
            idempotency.end(request_id)

    work(100)
    tracemalloc.start()
    try:
        work(2 * SIZE)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 5 * SIZE, "a dictionary would take a hundred times as much"


def test_the_content_and_the_end_of_an_id_are_remembered() -> None:
    idempotency = IdempotencyCache(SIZE)
    for one in (new_id(), "not a UUID \ud800"):
        assert idempotency.find(one) is None
        idempotency.remember(one, DIGEST)
        idempotency.remember(one, DIGEST[::-1])
        seen = idempotency.find(one)
        assert seen is not None
        assert (seen.matches(DIGEST), seen.matches(DIGEST[::-1]), seen.ended) == (True, False, False)
        idempotency.end(one)
        assert idempotency.ended(one)
        idempotency.forget(one)
        assert not idempotency.ended(one)
        idempotency.remember(one, DIGEST)
        assert not idempotency.ended(one)


def take(redeliveries: DeliveryDeduplicator, queue: str, epoch: int, *, again: bool) -> tuple[str, Delivery]:
    return redeliveries.take(Delivery(queue, epoch, epoch, "message", redelivered=again), "subject")


def test_a_message_that_is_done_is_recognised_as_one_that_is_in_work_is() -> None:
    for open_now in (0, 1):
        for queue in (names.INTERACTIVE_QUEUE, names.RETURNS_QUEUE):
            redeliveries = DeliveryDeduplicator(SIZE)
            _, first = take(redeliveries, queue, 1, again=False)
            first.pending = open_now
            for tag in range(10):
                redeliveries.take(Delivery(queue, 1, tag, str(tag)), "another")
            copy = "new" if queue in names.REQUEST_QUEUES else "duplicate"
            assert take(redeliveries, queue, 1, again=False)[0] == copy
            verdict, stands = take(redeliveries, queue, 2, again=True)
            assert (verdict, stands.epoch, stands.tag, stands.pending) == ("redelivered", 2, 2, open_now)
            assert (stands is first) == bool(open_now)
            assert take(redeliveries, queue, 2, again=True)[0] == copy, "the same connection gives it once"
