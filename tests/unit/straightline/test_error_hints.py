"""What is wrong in a message is told with what would be right."""

import time
from typing import Any

import msgspec
import pytest

from straightline.batch.items import Defaults, parse_line
from straightline.contracts import ModelSpec, decode_request
from straightline.contracts.parsing.error_hints import explain
from straightline.errors import ConfigurationError, ContractError
from straightline.ids import new_id
from straightline.names import Backend
from straightline.producer.submission import Submission, prepare
from straightline.settings import load

DATA: dict[str, Any] = {"inputs": []}


class Settings(msgspec.Struct):
    backend: Backend = "local"


def said_of(content: object, kind: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(content, kind)
    return explain(caught.value, kind)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (
            {"allow": ["lokal"]},
            "Invalid enum value 'lokal' - at `$.allow[0]`; use one of serverless, gpu-container, local",
        ),
        ({"class": "bach"}, "Invalid enum value 'bach' - at `$.class`; use one of interactive, batch"),
        ({"model": "-"}, "the text has a wrong form - at `$.model`; use letters, digits, dots, dashes"),
        (
            {"data_ref": {"uri": "file:///x", "size": 1, "sha256": "zz"}},
            "the text has a wrong form - at `$.data_ref.sha256`; use 64 lower-case hexadecimal digits",
        ),
        (
            {"data_ref": {"url": "x"}},
            "unknown field `url` - at `$.data_ref`; valid fields are uri, size, sha256",
        ),
        ({"class": 7}, "Expected `str`, got `int` - at `$.class`"),
    ],
)
def test_a_request_is_refused_with_what_is_valid(members: dict[str, Any], words: str) -> None:
    body = {"id": new_id(), "model": "digits", "submitted_at": time.time(), "data": DATA} | members
    with pytest.raises(ContractError) as caught:
        decode_request(msgspec.json.encode(body))
    assert words in str(caught.value)
    assert "regex" not in str(caught.value)


def test_an_unknown_class_is_refused_with_the_valid_ones() -> None:
    wrong: Any = "bach"
    with pytest.raises(ContractError, match="use one of interactive, batch"):
        prepare(Submission(model="digits", data=DATA, class_=wrong), by_reference=False, now=1.0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            {"data": DATA, "modle": "digits"},
            "unknown field `modle`; valid fields are custom_id, model, version,",
        ),
        ({"data": DATA, "allow": ["lokal"]}, "`$.allow[0]`; use one of serverless, gpu-container, local"),
    ],
)
def test_a_line_of_a_job_is_refused_with_what_is_valid(line: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_line(msgspec.json.encode(line), Defaults(model="digits"))
    assert words in str(caught.value)
    assert "or an object with" not in str(caught.value)


def test_errors_in_job_parameters_and_object_keys_show_what_is_valid() -> None:
    backends = "use one of serverless, gpu-container, local"
    assert backends in said_of({"allow": ["lokal"]}, Defaults)
    spec = {"name": "m", "version": "1", "inputs": [], "outputs": [], "max_payload": {"lokal": 1}}
    assert backends in said_of(spec, ModelSpec)


def test_a_setting_is_refused_with_what_is_valid() -> None:
    with pytest.raises(ConfigurationError, match="use one of serverless, gpu-container, local"):
        load(Settings, {"STRAIGHTLINE_BACKEND": "lokal"})


def test_a_fault_of_many_bytes_is_explained_at_once() -> None:
    """Whoever sends such requests must not keep the scheduler from its work."""
    began = time.thread_time()
    said = said_of({"backend": " - at `$" * 1_000_000}, Settings)
    assert time.thread_time() - began < 0.25
    assert said.endswith("`$.backend`; use one of serverless, gpu-container, local")
