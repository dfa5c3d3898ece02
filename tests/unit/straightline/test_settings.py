"""A setting that is missing or wrong is named in full, with what it takes, and without its value."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest

from straightline.errors import ConfigurationError
from straightline.settings import load


class Settings(msgspec.Struct):
    f: float
    many: Annotated[int, msgspec.Meta(ge=1)] = 1
    longest: float | None = None
    deploy: bool = False
    driver: Literal["docker", "process"] = "docker"
    place: Path = Path()


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("F", "x", "expected a number"),
        ("MANY", "x", "expected a whole number"),
        ("MANY", "1.5", "expected a whole number"),
        ("MANY", "0", "expected a whole number >= 1"),
        ("LONGEST", "x", "expected a number"),
        ("DEPLOY", "perhaps", "expected true or false"),
        ("DRIVER", "none", "invalid enum value 'none'; use one of docker, process"),
    ],
)
def test_an_invalid_setting_is_named_with_what_is_valid(name: str, value: str, takes: str) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        load(Settings, {"STRAIGHTLINE_F": "1", f"STRAIGHTLINE_{name}": value})
    assert str(wrong.value) == f"STRAIGHTLINE_{name} is invalid: {takes}"


def test_an_empty_one_is_missing() -> None:
    with pytest.raises(ConfigurationError, match="variable STRAIGHTLINE_F is not set"):
        load(Settings, {"STRAIGHTLINE_F": ""})


def test_texts_are_converted_to_the_fields_types() -> None:
    made = load(Settings, {"A_F": "0.5", "A_MANY": "2", "A_DEPLOY": "true", "A_PLACE": "/x"}, prefix="A_")
    assert made == Settings(0.5, 2, None, deploy=True, place=Path("/x"))
