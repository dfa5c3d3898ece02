"""The AsyncAPI document is the code's, is valid, and says what the code and the broker do."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from broker_config import topology
from broker_config.users import USERS
from gateway.celery_adapter.results import refusal, result_of
from gateway.celery_adapter.tasks import ARGUMENTS
from straightline import names
from straightline.contracts import Cancel, CancelAnswer, Outcome, decode_request
from straightline.contracts.documents.asyncapi import document, render
from straightline.errors import ContractError
from straightline.ids import new_id
from tests.npm import ROOT, node_modules

DOCUMENT = document()
CHANNELS = DOCUMENT["channels"]
MESSAGES = DOCUMENT["components"]["messages"]
REQUEST = MESSAGES["request"]["examples"][0]["payload"]


def body_validator(name: str) -> jsonschema.Draft7Validator:
    """Return what judges a body: a reader of AsyncAPI takes its schemas for draft 7."""
    return jsonschema.Draft7Validator(
        {"allOf": [{"$ref": f"#/components/schemas/{name}"}], "components": DOCUMENT["components"]}
    )


def pointers(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        if isinstance(content.get("$ref"), str):
            yield content["$ref"]
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from pointers(item)


def at(pointer: str) -> Any:
    found: Any = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_document_is_current() -> None:
    documented = (ROOT / "docs" / "contracts" / "asyncapi.json").read_text(encoding="utf-8")
    assert documented == render(), "run `python -m straightline.contracts.documents.asyncapi`"


@pytest.fixture(scope="module")
def asyncapi_schema() -> jsonschema.Draft7Validator:
    packages = node_modules(Path(__file__).parent / "asyncapi")
    text = (packages / "@asyncapi" / "specs" / "schemas" / "3.0.0.json").read_text(encoding="utf-8")
    return jsonschema.Draft7Validator(json.loads(text))


def test_it_is_valid_asyncapi(asyncapi_schema: jsonschema.Draft7Validator) -> None:
    assert [error.message for error in asyncapi_schema.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("operations", "cancel", "action"), "publish"),
        (("channels", "batch", "bindings", "amqp", "is"), "queue"),
        (("components", "messages", "request", "bindings", "amqp", "type"), "x"),
        (("components", "schemas", "Request", "required"), "id"),
        (("operations", "cancel", "reply", "address"), "reply_to"),
    ],
)
def test_an_invalid_asyncapi_document_is_detected(
    asyncapi_schema: jsonschema.Draft7Validator, place: tuple[str, ...], value: str
) -> None:
    broken = copy.deepcopy(DOCUMENT)
    inner = broken
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    assert not asyncapi_schema.is_valid(broken)


def test_every_reference_leads_somewhere() -> None:
    assert all(at(pointer) for pointer in pointers(DOCUMENT))


def test_each_operation_sends_and_gets_messages_of_its_channels() -> None:
    for operation in DOCUMENT["operations"].values():
        for side in (operation, operation["reply"]):
            channel = side["channel"]["$ref"]
            assert side["messages"]
            assert all(one["$ref"].startswith(f"{channel}/messages/") for one in side["messages"])


def test_every_message_to_send_has_a_queue_and_a_producer_may_send_it() -> None:
    bound = {(queue.exchange.name, queue.routing_key) for queue in topology.QUEUES}
    exchanges = {exchange.name: exchange for exchange in topology.EXCHANGES}
    for operation in DOCUMENT["operations"].values():
        channel = at(operation["channel"]["$ref"])
        said = channel["bindings"]["amqp"]["exchange"]
        exchange = exchanges[said["name"]]
        assert (exchange.name, channel["address"]) in bound
        assert (exchange.type, exchange.durable) == (said["type"], said["durable"])
        for user in ("producer", "celery-producer"):
            assert re.match(USERS[user].patterns()["write"], exchange.name)


def test_a_producer_may_have_the_queue_that_is_described() -> None:
    description = CHANNELS["replies"]["description"]
    assert f"`{names.REPLIES}`" in description
    prefix = re.search(r"begins with `([^`]+)`", description)
    assert prefix is not None
    patterns = USERS["producer"].patterns()
    assert all(re.match(patterns[right], prefix[1] + "x") for right in ("configure", "write", "read"))


@pytest.mark.parametrize("name", [name for name in MESSAGES if not name.startswith("celery")])
def test_the_examples_match_their_schemas_and_are_decoded(name: str) -> None:
    message = MESSAGES[name]
    kinds: dict[str, Any] = {"outcome": Outcome, "cancel": Cancel, "cancelAnswer": CancelAnswer}
    assert message["examples"]
    for example in message["examples"]:
        body_validator(message["payload"]["$ref"].rpartition("/")[2]).validate(example["payload"])
        text = json.dumps(example["payload"]).encode()
        if name == "request":
            decode_request(text).infer_request()
        else:
            msgspec.json.decode(text, type=kinds[name], strict=True)


@pytest.mark.parametrize(
    "change",
    [
        {"class": "batch", "deadline": 3.0, "version": "2", "batch_id": "b"},
        {"data_ref": {"uri": "file:///x", "size": 1, "sha256": "0" * 64}},
        {"data": {"inputs": [{"name": "x"}]}},
        {"data": {}},
        {"model": None},
        {"class": "urgent"},
        {"allow": []},
    ],
)
def test_schema_and_code_agree_on_a_request(change: dict[str, Any]) -> None:
    message = REQUEST | change
    try:
        decode_request(json.dumps(message).encode()).infer_request()
    except ContractError:
        assert not body_validator("Request").is_valid(message)
    else:
        body_validator("Request").validate(message)


def test_a_celery_task_has_the_arguments_that_the_adapter_accepts() -> None:
    arguments = DOCUMENT["components"]["schemas"]["CeleryTask"]["items"][1]["properties"]
    assert set(arguments) == set(ARGUMENTS)
    kwargs = {name: value for name, value in REQUEST.items() if name in ARGUMENTS}
    task = body_validator("CeleryTask")
    task.validate([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    assert not task.is_valid([["digits"], kwargs, {}])
    assert not task.is_valid([[], {**kwargs, "id": new_id()}, {}])
    assert not task.is_valid([[], kwargs, {"chord": {"task": "x"}}])


def test_the_adapters_answer_is_a_celery_result() -> None:
    outcomes = [
        msgspec.convert(example["payload"] | {"request_id": new_id()}, Outcome, from_attributes=False)
        for example in MESSAGES["outcome"]["examples"][1:]
    ]
    answered = MESSAGES["outcome"]["examples"][0]["payload"]
    outcomes.append(msgspec.json.decode(json.dumps(answered), type=Outcome))
    messages = [result_of(outcome, new_id()) for outcome in outcomes]
    messages.append(refusal(new_id(), new_id(), "a chain is not supported"))
    for message in messages:
        body_validator("CeleryResult").validate(json.loads(message.body))
