"""The page for other languages shows the files of the examples, and its locks name no place."""

import re
from pathlib import Path

import pytest

from straightline.ids import KEY_NAMESPACE
from tests.npm import ROOT

EXAMPLES = ROOT / "examples" / "any_language"
PAGE = (ROOT / "docs" / "any-language.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|js|go|bash)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
FILES = {
    "python": "python/request.py",
    "js": "node/request.mjs",
    "go": "go/main.go",
    "bash": "curl/request.sh",
}


def test_the_page_has_every_example_once() -> None:
    assert sorted(language for language, _ in BLOCKS) == sorted(FILES)


@pytest.mark.parametrize(("language", "block"), BLOCKS, ids=[language for language, _ in BLOCKS])
def test_the_page_shows_the_file(language: str, block: str) -> None:
    assert block == (EXAMPLES / FILES[language]).read_text(encoding="utf-8")
    assert f"(../examples/any_language/{FILES[language]})" in PAGE


@pytest.mark.parametrize("language", ["python", "js", "go"])
def test_an_example_makes_ids_of_keys_as_everyone_does(language: str) -> None:
    text = (EXAMPLES / FILES[language]).read_text(encoding="utf-8").replace("\\x", "").replace("-", "")
    assert KEY_NAMESPACE.hex in text


@pytest.mark.parametrize(
    "lock",
    [EXAMPLES / "node" / "package-lock.json", ROOT / "tests" / "contract" / "asyncapi" / "package-lock.json"],
    ids=["node", "asyncapi"],
)
def test_a_lock_names_no_place_and_has_every_digest(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')
