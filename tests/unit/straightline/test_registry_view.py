"""What is announced stands over the directory; a canary gets its share of the requests, always the same."""

import pytest

from straightline.contracts import ModelSpec
from straightline.contracts.deployed import Deployed, DeployedModel, DeployedVersion
from straightline.ids import new_id
from straightline.models.catalogue import Catalogue
from straightline.models.registry_view import RegistryView, takes_canary


def spec(name: str, version: str) -> ModelSpec:
    return ModelSpec(name=name, version=version, inputs=(), outputs=())


def model(*versions: str, canary: str | None = None, share: float = 0.0) -> DeployedModel:
    there = {each: DeployedVersion(spec=spec("m", each), digest="sha256:0") for each in versions}
    return DeployedModel(
        versions=there, default=versions[0] if versions else None, canary=canary, share=share
    )


LYING = RegistryView(
    Catalogue({"m": {"0": spec("m", "0")}, "other": {"1": spec("other", "1"), "2": spec("other", "2")}})
)


def test_a_model_that_was_never_deployed_is_as_its_directory_has_it() -> None:
    known = LYING.updated(Deployed(revision=1, models={"m": model("2", "1")}))
    found = known.find("other")
    assert found is not None
    assert found.version == "2"
    assert known.resolve_version("other", new_id()) is None


def test_of_a_model_that_was_deployed_the_registry_alone_speaks() -> None:
    known = LYING.updated(Deployed(revision=1, models={"m": model("2", "1")}))
    found = known.find("m")
    assert found is not None
    assert found.version == "2"
    assert known.find("m", "1") is not None
    assert known.find("m", "0") is None
    assert list(known.catalogue().models["m"]) == ["1", "2"]
    assert known.catalogue().find("m") is found


def test_a_removed_model_is_gone_though_its_directory_was_read_before() -> None:
    known = LYING.updated(Deployed(revision=1, models={"m": model()}))
    assert known.find("m") is None
    assert known.find("m", "0") is None
    assert set(known.catalogue().models) == {"other"}


def test_an_older_announcement_changes_nothing() -> None:
    known = LYING.updated(Deployed(revision=2, models={"m": model("2")}))
    assert known.updated(Deployed(revision=2, models={})) is known
    assert known.updated(Deployed(revision=1, models={})) is known


@pytest.mark.parametrize("share", [1.0, 10.0, 50.0])
def test_a_canary_gets_its_share(share: float) -> None:
    deployed = model("1", "2", canary="2", share=share)
    taken = sum(takes_canary(deployed, new_id()) for _ in range(20_000)) / 20_000 * 100
    assert taken == pytest.approx(share, abs=1.5)


def test_a_request_is_always_of_the_canary_or_never_and_other_canaries_take_others() -> None:
    ids = [new_id() for _ in range(500)]
    first = [takes_canary(model("1", "2", canary="2", share=30), each) for each in ids]
    assert first == [takes_canary(model("1", "2", canary="2", share=30), each) for each in ids]
    assert first != [takes_canary(model("1", "3", canary="3", share=30), each) for each in ids]
    more = [takes_canary(model("1", "2", canary="2", share=60), each) for each in ids]
    assert all(later for earlier, later in zip(first, more, strict=True) if earlier)


def test_a_canary_that_is_not_deployed_gets_no_requests() -> None:
    assert not any(takes_canary(model("1", canary="2", share=100), new_id()) for _ in range(20))
