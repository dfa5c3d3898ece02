"""The template of image names, forth and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from straightline.errors import ConfigurationError
from workers.containers.policy.image_names import image_name, models_of

TEMPLATES = (
    "straightline/{model}:{version}",
    "host.example:5000/a/{model}/{model}:v{version}",
    "{model}:latest",
    "host.example:5000/a/{model}",
)
WORD = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?", fullmatch=True)


@given(st.sampled_from(TEMPLATES), WORD, WORD)
def test_a_name_made_from_the_template_is_parsed_back(template: str, model: str, version: str) -> None:
    assert models_of(template, [image_name(template, model, version), "unrelated/thing:1"]) == [model]


def test_a_model_is_named_once_however_many_versions_it_has() -> None:
    tags = ["straightline/digits:1", "straightline/digits:2", "straightline/base:latest"]
    assert models_of(TEMPLATES[0], tags) == ["base", "digits"]


def test_a_template_without_the_model_lists_no_models() -> None:
    assert models_of("registry/all-models:1", ["registry/all-models:1"]) is None


def test_image_names_are_lower_case() -> None:
    assert image_name(TEMPLATES[0], "Digits", "1") == "straightline/digits:1"


@pytest.mark.parametrize("template", ["{name}:1", "{}", "{model", "{0}"])
def test_an_unusable_template_is_a_configuration_error(template: str) -> None:
    with pytest.raises(ConfigurationError, match="STRAIGHTLINE_CONTAINER_IMAGE"):
        image_name(template, "digits", "1")
