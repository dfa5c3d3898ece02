"""How many servers a model has."""

from typing import Any

import pytest

from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.contracts.model import WarmPool
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView
from workers.containers.policy.scaling import (
    eviction_candidate,
    idle_slots,
    least_used,
    models_to_start,
    prewarmed_models,
    should_scale_out,
)
from workers.containers.pool.warm_server import Slot

WARM: Any = object()


def model(name: str = "one", version: str = "1", **warm: Any) -> ModelSpec:
    return ModelSpec(name=name, version=version, inputs=(), outputs=(), warm=WarmPool(**warm))


def slot(of: ModelSpec, *, users: int = 0, last_used: float = 0.0, warm: Any = WARM) -> Slot:
    return Slot(of, last_used, users=users, warm=warm)


def by_key(*models: ModelSpec) -> dict[tuple[str, str], ModelSpec]:
    return {(each.name, each.version): each for each in models}


def test_a_request_goes_to_the_ready_server_with_the_fewest_users() -> None:
    one = model()
    starting, busy, free = slot(one, warm=None), slot(one, users=3), slot(one, users=1)
    assert least_used([starting, busy, free]) is free
    assert least_used([starting]) is starting
    assert least_used([]) is None


@pytest.mark.parametrize(
    ("users", "maximum", "another"),
    [((4,), 2, True), ((3,), 2, False), ((4, 3), 3, False), ((4, 5), 3, True), ((4, 4), 2, False)],
)
def test_another_server_is_started_when_all_are_busy_and_the_model_may_have_it(
    users: tuple[int, ...], maximum: int, another: bool
) -> None:
    one = model(maximum=maximum)
    assert should_scale_out([slot(one, users=each) for each in users], one, 4) is another


def test_without_a_maximum_there_is_one() -> None:
    assert not should_scale_out([slot(model(), users=100)], model(), 4)


def test_one_start_at_a_time() -> None:
    one = model(maximum=3)
    assert not should_scale_out([slot(one, users=4), slot(one, users=4, warm=None)], one, 4)


def test_missing_servers_are_started_with_each_models_first_before_any_second() -> None:
    one, two = model("one", minimum=2), model("two", minimum=1)
    assert models_to_start([], [one, two], 8) == [one, two, one]
    assert models_to_start([slot(one)], [one, two], 8) == [two, one]
    assert models_to_start([], [one, two], 2) == [one, two]
    assert models_to_start([], [one, two], -1) == []
    assert models_to_start([slot(one), slot(one), slot(two)], [one, two], 8) == []


def test_idle_servers_are_removed_down_to_the_minimum_longest_unused_first() -> None:
    one = model(minimum=1)
    old, new, used = slot(one, last_used=1.0), slot(one, last_used=2.0), slot(one, users=1)
    assert idle_slots([new, old], by_key(one), 10.0, 100.0) == [old]
    assert idle_slots([new, old, used], by_key(one), 10.0, 100.0) == [old, new]
    assert idle_slots([new, old], {}, 10.0, 100.0) == [old, new]  # no longer the default: nothing is kept
    assert idle_slots([new, old], by_key(one), 1000.0, 100.0) == []


def test_a_model_may_have_an_idle_time_of_its_own() -> None:
    assert idle_slots([slot(model(idle=50.0))], {}, 10.0, 49.0) == []
    assert idle_slots([slot(model(idle=50.0))], {}, 100.0, 51.0) != []


def test_eviction_prefers_servers_above_the_minimum_then_the_longest_unused() -> None:
    kept_one, other = model("kept", minimum=1), model("other")
    protected, free = slot(kept_one, last_used=1.0), slot(other, last_used=2.0)
    assert eviction_candidate([protected, free], by_key(kept_one)) is free
    assert eviction_candidate([protected], by_key(kept_one)) is protected
    assert eviction_candidate([slot(other, users=1), slot(other, warm=None)], {}) is None


def test_the_default_and_the_canary_of_each_model_are_prewarmed() -> None:
    versions = {
        version: DeployedVersion(spec=model("two", version, minimum=1), digest="d") for version in "123"
    }
    known = RegistryView(
        Catalogue({"one": {"1": model(minimum=1)}, "cold": {"1": model("cold")}}),
        Deployed(
            revision=1, models={"two": DeployedModel(versions=versions, default="2", canary="3", share=5.0)}
        ),
    )
    assert {(each.name, each.version) for each in prewarmed_models(known)} == {
        ("one", "1"),
        ("two", "2"),
        ("two", "3"),
    }


def test_models_of_other_backends_are_not_prewarmed() -> None:
    elsewhere = ModelSpec(
        name="one", version="1", inputs=(), outputs=(), backends=("local",), warm=WarmPool(minimum=1)
    )
    assert prewarmed_models(RegistryView(Catalogue({"one": {"1": elsewhere}}))) == []
