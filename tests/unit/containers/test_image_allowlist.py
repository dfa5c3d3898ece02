"""Which images may be run."""

import pytest

from straightline.errors import ConfigurationError
from workers.containers.policy.image_allowlist import ImageAllowlist

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_without_a_list_every_image_may() -> None:
    assert not ImageAllowlist(" , ")
    assert ImageAllowlist("").allows(OTHER, None)


def test_with_a_list_those_on_it_alone() -> None:
    allowed = ImageAllowlist(f"{ONE}, {ONE}")
    assert allowed
    assert allowed.allows(ONE, [])
    assert not allowed.allows(OTHER, [f"registry.example/x@{OTHER}"])


def test_an_image_is_known_by_its_digest_in_a_registry_too() -> None:
    assert ImageAllowlist(ONE).allows(OTHER, [f"registry.example:5000/x@{ONE}"])


def test_what_was_deployed_joins_a_list_and_makes_none() -> None:
    assert ImageAllowlist(ONE).with_deployed([OTHER]).allows(OTHER, None)
    assert ImageAllowlist(ONE).with_deployed([OTHER]).allows(ONE, None)
    assert not ImageAllowlist(ONE).with_deployed([OTHER]).with_deployed([]).allows(OTHER, None)
    assert not ImageAllowlist("").with_deployed([OTHER])
    assert ImageAllowlist("").with_deployed([OTHER]).allows(ONE, None)


@pytest.mark.parametrize("wrong", ["digits:1", "sha256:12", ONE.upper(), f"x@{ONE}", ONE + "0"])
def test_what_is_no_digest_is_named(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_CONTAINER_DIGESTS"):
        ImageAllowlist(f"{ONE} {wrong}")
