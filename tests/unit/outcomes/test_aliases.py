"""What a model's name means moves as people expect, and never to where nothing is."""

import pytest

from outcomes.db.errors import RegistryRefused
from outcomes.registry.aliases import Alias, made_canary, made_default, removed, rolled_back

TWO = made_default(made_default(Alias(), "1"), "2")


def test_the_default_moves_and_remembers_the_one_before() -> None:
    assert Alias(version="2", previous="1") == TWO
    assert made_default(TWO, "2") == TWO


def test_a_step_back_and_another_one_forward() -> None:
    back = rolled_back(TWO, "m", ["1", "2"])
    assert back == Alias(version="1", previous="2")
    assert rolled_back(back, "m", ["1", "2"]) == TWO


def test_a_canary_leaves_the_default_and_a_step_back_ends_it_alone() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    assert with_canary == Alias(version="2", previous="1", canary="3", share=10)
    assert rolled_back(with_canary, "m", ["1", "2", "3"]) == TWO


def test_a_canary_that_becomes_the_default_is_none_more_and_another_one_stays() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    assert made_default(with_canary, "3") == Alias(version="3", previous="2")
    assert made_default(with_canary, "4") == Alias(version="4", previous="2", canary="3", share=10)


@pytest.mark.parametrize(
    ("alias", "version", "cure"),
    [(Alias(), "1", "without --canary"), (TWO, "2", "roll back first")],
)
def test_no_canary_where_the_rest_would_have_nowhere_to_go(alias: Alias, version: str, cure: str) -> None:
    with pytest.raises(RegistryRefused, match=cure):
        made_canary(alias, "m", version, 5)


def test_nothing_to_go_back_to() -> None:
    with pytest.raises(RegistryRefused, match="no model m in the registry"):
        rolled_back(Alias(), "m", [])
    with pytest.raises(RegistryRefused, match="no version before it"):
        rolled_back(made_default(Alias(), "1"), "m", ["1"])
    with pytest.raises(RegistryRefused, match="still deployed"):
        rolled_back(TWO, "m", ["2"])


def test_what_requests_go_to_is_not_removed() -> None:
    with_canary = made_canary(TWO, "m", "3", 10)
    for version in ("2", "3"):
        with pytest.raises(RegistryRefused, match="roll back"):
            removed(with_canary, "m", version)
    assert removed(TWO, "m", "1") == Alias(version="2")
    assert removed(TWO, "m", "0") == TWO
