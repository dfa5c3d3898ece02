"""The JSON Schemas in `docs/contracts` are those of the code, and say what the decoder does."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from straightline.contracts import decode_request
from straightline.contracts.documents.schema import MESSAGES, render, schema
from straightline.contracts.outcome import Outcome
from straightline.errors import ContractError

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "contracts"
REQUEST = {
    "id": "0193c9a2-7c5e-7b3e-8a51-1f6f2d1c9a10",
    "model": "digits",
    "submitted_at": 1.5,
    "data": {"inputs": []},
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_documented_schema_is_current(name: str) -> None:
    documented = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert documented == render(MESSAGES[name]), "run `python -m straightline.contracts.documents.schema`"


@pytest.mark.parametrize("name", MESSAGES)
def test_each_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(MESSAGES[name]))


def test_no_schema_is_left_of_a_message_that_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*MESSAGES, "asyncapi"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"class": "batch", "deadline": 3.0, "allow": ["local"], "version": "2", "batch_id": "b"},
        {"class": "urgent"},
        {"model": ""},
        {"model": "a/b"},
        {"model": 7},
        {"model": "a\n"},
        {"allow": []},
        {"allow": ["moon"]},
        {"submitted_at": "now"},
        {"data_ref": {"uri": "file:///x", "size": -1, "sha256": "0" * 64}},
        {"id": "x" * 65},
        {"version": "x" * 129},
    ],
)
def test_schema_and_decoder_agree(change: dict[str, object]) -> None:
    message = REQUEST | change
    allowed = jsonschema.Draft202012Validator(schema(MESSAGES["request"])).is_valid(message)
    try:
        decode_request(json.dumps(message).encode())
    except ContractError:
        assert not allowed
    else:
        assert allowed


def test_an_outcome_without_a_result_has_no_such_member() -> None:
    outcome = Outcome(request_id="x", state="expired", finished_at=1.0)
    text = msgspec.json.encode(outcome)
    assert json.loads(text) == {"request_id": "x", "state": "expired", "finished_at": 1.0}
    again = msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(text, type=Outcome)), type=Outcome)
    assert not again.result
