"""Request ids: new ones, and those of a producer's own key."""

import os
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.errors import ContractError
from straightline.ids import KEY_NAMESPACE, canonical, id_of_key, new_id


def test_a_new_id_is_a_uuid_of_version_7_and_of_now() -> None:
    before = time.time_ns() // 1_000_000
    read = uuid.UUID(new_id())
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert before <= read.int >> 80 <= time.time_ns() // 1_000_000


def test_all_random_bits_of_an_id_are_used() -> None:
    ids = [uuid.UUID(new_id()).int for _ in range(2_000)]
    seen = 0
    missing = 0
    for each in ids:
        seen |= each
        missing |= ~each
    random_bits = (1 << 76) - 1 & ~(0x3 << 62)
    assert seen & random_bits == random_bits
    assert missing & random_bits == random_bits


def test_threads_never_get_the_same_id() -> None:
    made: list[str] = []

    def work() -> None:
        made.extend([new_id() for _ in range(5_000)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 20_000


def test_a_child_process_does_not_repeat_its_parents_ids() -> None:
    new_id()  # random bytes are drawn ahead
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id()[-12:].encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 12).decode()
    os.close(reading)
    os.close(writing)
    assert new_id()[-12:] != theirs


def test_a_key_is_always_the_same_id_which_other_languages_compute_too() -> None:
    assert str(KEY_NAMESPACE) == "6f0e4f4c-4d5b-5d0a-9f0b-8c6f2d1c9a10"
    assert id_of_key("order-4711") == id_of_key("order-4711") == "b9bc36f9-483c-52a1-9ba9-86d650df30cc"
    assert id_of_key("order-4711") != id_of_key("order-4712")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1024))
def test_every_text_is_a_key(key: str) -> None:
    assert canonical(id_of_key(key)) == id_of_key(key)


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800", 7, None, b"a"])
def test_a_key_must_be_a_text_within_the_limit(key: object) -> None:
    with pytest.raises(ContractError, match="key"):
        id_of_key(key)  # type: ignore[arg-type]


@given(st.uuids())
def test_every_way_to_write_a_uuid_has_one_canonical_form(identity: uuid.UUID) -> None:
    text = str(identity)
    assert canonical(text) is text
    for other in (text.upper(), text.replace("-", ""), f"{{{text}}}", identity.urn):
        assert canonical(other) == text


@given(st.text(max_size=40))
def test_a_text_that_is_not_a_uuid_has_no_canonical_form(text: str) -> None:
    try:
        uuid.UUID(text)
    except ValueError:
        assert canonical(text) is None
