"""Deployments, canaries, rollbacks and removals of one model's alias."""

import pytest

from outcomes.db.errors import RegistryRefused
from outcomes.registry.aliases import Alias, made_canary, made_default, removed, rolled_back

TWO = made_default(made_default(Alias(), "1"), "2")


def test_a_new_default_remembers_the_previous_one() -> None:
    assert Alias(version="2", previous="1") == TWO
    assert made_default(TWO, "2") == TWO


def test_a_rollback_twice_returns_to_the_same_default() -> None:
    back = rolled_back(TWO, "m", ["1", "2"])
    assert back == Alias(version="1", previous="2")
    assert rolled_back(back, "m", ["1", "2"]) == TWO


def test_a_canary_keeps_the_default_and_a_rollback_ends_only_the_canary() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    assert with_canary == Alias(version="2", previous="1", canary="3", share=10)
    assert rolled_back(with_canary, "m", ["1", "2", "3"]) == TWO


def test_a_promoted_canary_ends_and_another_canary_stays() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    assert made_default(with_canary, "3") == Alias(version="3", previous="2")
    assert made_default(with_canary, "4") == Alias(version="4", previous="2", canary="3", share=10)


@pytest.mark.parametrize(
    ("alias", "version", "cure"),
    [(Alias(), "1", "without --canary"), (TWO, "2", "roll back first")],
)
def test_a_canary_needs_another_version_for_the_rest(alias: Alias, version: str, cure: str) -> None:
    with pytest.raises(RegistryRefused, match=cure):
        made_canary(alias, "m", version, 5)


def test_a_rollback_without_an_earlier_version_is_refused() -> None:
    with pytest.raises(RegistryRefused, match="no model m in the registry"):
        rolled_back(Alias(), "m", [])
    with pytest.raises(RegistryRefused, match="no version before it"):
        rolled_back(made_default(Alias(), "1"), "m", ["1"])
    with pytest.raises(RegistryRefused, match="still deployed"):
        rolled_back(TWO, "m", ["2"])


def test_a_version_that_gets_requests_is_not_removed() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    for version in ("2", "3"):
        with pytest.raises(RegistryRefused, match="roll back"):
            removed(with_canary, "m", version)
    assert removed(TWO, "m", "1") == Alias(version="2")
    assert removed(TWO, "m", "0") == TWO
