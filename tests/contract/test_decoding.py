"""Every reader of foreign bytes ends with `ContractError`, whatever the bytes are."""

import pytest

from straightline.amqp.consuming.cancellations import CancellationStream
from straightline.contracts import Outcome, Ticket
from straightline.contracts.cancel import Cancel
from straightline.contracts.deployed import Deployed
from straightline.contracts.parsing.decoding import decode
from straightline.contracts.signals import BreakerState, Feedback, Heartbeat
from straightline.contracts.ticket import FailedAttempts
from straightline.errors import ContractError
from workers.coordination.breakers import OpenBreakers

DEEP = b"[" * 100_000
UNREADABLE = {
    "empty": b"",
    "cut": b'{"id": "1',
    "nested 100,000 levels deep": DEEP,
    "nested in a member": b'{"id": ' + DEEP,
    "nested in an unknown member": b'{"unknown": ' + DEEP,
    "not UTF-8": b'{"id": "\xff"}',
    "a scalar": b"7",
    "null": b"null",
    "a lone surrogate": rb'{"id": "\ud800"}',
}
KINDS = [BreakerState, Cancel, Deployed, FailedAttempts, Feedback, Heartbeat, Outcome, Ticket]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_is_a_contract_error(kind: type, body: bytes) -> None:
    with pytest.raises(ContractError):
        decode(body, kind)


def test_what_fits_the_syntax_and_not_the_type_is_told_apart() -> None:
    with pytest.raises(ContractError) as malformed:
        decode(b"{", Cancel)
    with pytest.raises(ContractError) as unfit:
        decode(b'{"id": 7}', Cancel)
    assert (malformed.value.error_class, unfit.value.error_class) == ("malformed", "wrong_type")


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_breaker_state_is_skipped_and_the_next_one_counts(body: bytes) -> None:
    breakers = OpenBreakers("local", clock=lambda: 1.0)
    breakers.update(body)
    assert breakers.refusal("digits") is None
    breakers.update(b'{"backend": "local", "model": null, "open": true, "why": "it fails", "at": 1.0}')
    assert breakers.refusal("digits") == "it fails"


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_entry_of_the_cancellation_stream_is_skipped(body: bytes) -> None:
    """An entry that raised would be read again from the start after each reconnect, without end."""
    found: list[str] = []
    reader = CancellationStream("amqp://127.0.0.1:1/", name="test", on_id=found.append)
    reader._read(body)
    reader._read(b'{"id": "0192f0c1-0000-7000-8000-000000000001"}')
    assert found == ["0192f0c1-0000-7000-8000-000000000001"]
