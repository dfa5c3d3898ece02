"""Which images may be run."""

import pytest

from straightline.errors import ConfigurationError
from workers.containers.policy.image_allowlist import ImageAllowlist

ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_an_empty_allowlist_allows_every_image() -> None:
    assert not ImageAllowlist(" , ")
    assert ImageAllowlist("").allows(OTHER, None)


def test_an_allowlist_allows_only_its_digests() -> None:
    allowed = ImageAllowlist(f"{ONE}, {ONE}")
    assert allowed
    assert allowed.allows(ONE, [])
    assert not allowed.allows(OTHER, [f"registry.example/x@{OTHER}"])


def test_an_image_is_allowed_by_its_registry_digest_too() -> None:
    assert ImageAllowlist(ONE).allows(OTHER, [f"registry.example:5000/x@{ONE}"])


def test_deployed_images_extend_an_allowlist_and_do_not_make_one() -> None:
    assert ImageAllowlist(ONE).with_deployed([OTHER]).allows(OTHER, None)
    assert ImageAllowlist(ONE).with_deployed([OTHER]).allows(ONE, None)
    assert not ImageAllowlist(ONE).with_deployed([OTHER]).with_deployed([]).allows(OTHER, None)
    assert not ImageAllowlist("").with_deployed([OTHER])
    assert ImageAllowlist("").with_deployed([OTHER]).allows(ONE, None)


@pytest.mark.parametrize("wrong", ["digits:1", "sha256:12", ONE.upper(), f"x@{ONE}", ONE + "0"])
def test_an_entry_that_is_not_a_digest_is_named(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_CONTAINER_DIGESTS"):
        ImageAllowlist(f"{ONE} {wrong}")
