"""Which requests share a call: all that fit together, none twice, and none lost."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.contracts import ModelSpec, TensorSpec
from tests.builders import make_request, make_ticket
from workers.domain.grouping import Group, PreparedRequest, group_requests
from workers.domain.merging import signature
from workers.domain.placements import Work

MODEL = ModelSpec(
    name="double",
    version="1",
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, 2)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 2)),),
)
TICKET = make_ticket()


def prepared(rows: int = 1, datatype: str = "FP32", **tensor: object) -> PreparedRequest:
    x = {"name": "x", "shape": [rows, 2], "datatype": datatype, "data": [0.0] * 2 * rows, **tensor}
    return PreparedRequest(work=Work(TICKET, make_request()), body=msgspec.json.encode({"inputs": [x]}))


def groups(
    requests: list[PreparedRequest], model: ModelSpec = MODEL, max_bytes: int | None = None
) -> list[Group]:
    return list(group_requests(requests, model, max_bytes))


KINDS: dict[str, Callable[[], PreparedRequest]] = {
    "small": prepared,
    "large": lambda: prepared(rows=5),
    "another datatype": lambda: prepared(datatype="FP64"),
    "nested": lambda: prepared(data=[[0.0, 0.0]]),
    "unfit": lambda: prepared(data=[0.0]),
    "with parameters": lambda: prepared(parameters={"p": 1}),
    "no JSON": lambda: PreparedRequest(work=Work(TICKET, make_request()), body=b"{"),
}


@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=8), st.none() | st.integers(0, 400))
def test_each_request_is_in_one_call_of_equal_signatures_within_the_limit(
    kinds: list[str], max_bytes: int | None
) -> None:
    requests = [KINDS[kind]() for kind in kinds]
    found = groups(requests, max_bytes=max_bytes)
    ids = [member.work.request.id for group in found for member in group.members]
    assert sorted(ids) == sorted(request.work.request.id for request in requests)
    for group in found:
        if len(group.members) == 1:
            assert group.inputs == []
            continue
        assert len(group.inputs) == len(group.members)
        assert len({signature(each) for each in group.inputs}) == 1
        assert signature(group.inputs[0]) is not None
        if max_bytes is not None:
            assert sum(len(member.body) for member in group.members) <= max_bytes


def test_requests_of_one_signature_are_one_call_in_their_order() -> None:
    requests = [prepared(rows) for rows in (1, 2, 3)]
    (group,) = groups(requests)
    assert group.members == requests
    assert [each.inputs[0].shape[0] for each in group.inputs] == [1, 2, 3]


def test_a_model_that_is_not_batchable_gets_a_call_for_each() -> None:
    model = msgspec.structs.replace(MODEL, outputs=(TensorSpec(name="y", datatype="FP32", shape=(2,)),))
    assert [len(group.members) for group in groups([prepared(), prepared()], model)] == [1, 1]


def test_a_single_request_is_sent_as_it_came_even_if_it_is_broken() -> None:
    broken = KINDS["no JSON"]()
    (group,) = groups([broken])
    assert (group.members, group.inputs) == ([broken], [])


def test_a_request_over_the_limit_goes_alone_and_the_others_stay_together() -> None:
    small = len(prepared().body)
    requests = [prepared(), prepared(rows=50), prepared(), prepared()]
    sizes = [len(group.members) for group in groups(requests, max_bytes=2 * small)]
    assert sizes == [1, 1, 2]


@pytest.mark.parametrize(("left_out", "inputs"), [(0, 3), (1, 2), (2, 0), (3, 0)])
def test_a_group_without_some_requests_keeps_the_inputs_of_the_others(left_out: int, inputs: int) -> None:
    requests = [prepared(rows) for rows in (1, 2, 3)]
    (group,) = groups(requests)
    rest = group.without([each.work.request.id for each in requests[:left_out]])
    assert rest.members == requests[left_out:]
    assert [each.inputs[0].shape[0] for each in rest.inputs] == [1, 2, 3][3 - inputs :]
