from typing import get_args

import pytest

from straightline.contracts import faults
from straightline.contracts.faults import TAXONOMY, FaultClass, FinalClass, traits_of


def test_every_error_class_has_its_traits() -> None:
    assert set(TAXONOMY) == {*get_args(FaultClass), *get_args(FinalClass)}


def test_no_word_is_both_a_fault_and_final() -> None:
    assert not set(get_args(FaultClass)) & set(get_args(FinalClass))


def test_a_word_of_another_version_blames_nothing() -> None:
    for word in ("invented_later", None):
        traits = traits_of(word)
        assert (traits.blames, traits.request_suspect, traits.http_status) == (None, False, None)


def test_the_sets_that_components_use_are_the_documented_ones() -> None:
    assert {"unreachable", "throttled", "no_capacity"} == faults.BACKEND_FAULTS
    assert {
        "not_deployed",
        "not_informed",
        "cold_start_timed_out",
        "cold_start_failed",
    } == faults.PRE_EXECUTION - faults.BACKEND_FAULTS
    assert {"timed_out", "crashed", "out_of_memory", "bad_protocol"} == faults.REQUEST_SUSPECT
    assert {"breaker_open", "not_informed"} == faults.GIVEN_BACK
    assert {"lost", "delivery_limit", "malformed", "dead_letter", "unrecordable"} == faults.NOT_EXECUTED


@pytest.mark.parametrize("word", sorted(faults.REQUEST_SUSPECT))
def test_only_a_request_that_reached_the_model_is_suspect(word: str) -> None:
    assert traits_of(word).reached_model
    assert word not in faults.PRE_EXECUTION


@pytest.mark.parametrize("word", sorted(faults.GIVEN_BACK))
def test_a_fault_before_execution_never_reached_the_model(word: str) -> None:
    assert not traits_of(word).asked
    assert not traits_of(word).reached_model


def test_statuses_are_those_of_client_or_server_errors() -> None:
    statuses = {word: traits.http_status for word, traits in TAXONOMY.items() if traits.http_status}
    assert statuses == {
        "too_large": 413,
        "unknown_model": 404,
        "unknown_version": 404,
        "saturated": 503,
        "conflict": 409,
        "deadline": 504,
        "model_error": 422,
    }
