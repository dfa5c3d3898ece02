"""The architecture page names only functions that exist in the files that it names."""

import ast
import re

import pytest

from tests.npm import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| \d+ \| `(?P<file>[\w/]+\.py)` \| (?P<entry>.*) \| (?P<exit>.*) \|$", re.MULTILINE)
IN_FILE = re.compile(r"`(?P<name>[\w.]+)`\s+(?:in\s+|\()`(?P<file>[\w/]+\.py)`")
ELSEWHERE = {"Publisher.publish", "Ledger.write"}
"""Exits that are calls of another module."""


def functions(file: str) -> set[str]:
    """Return the functions of a file, and its methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_the_path_has_at_most_ten_files() -> None:
    assert 8 <= len(ROW.findall(PAGE)) <= 10


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (row["file"], name)
        for row in ROW.finditer(PAGE)
        for name in re.findall(r"`([A-Za-z_.]+)`", f"{row['entry']} {row['exit']}")
        if name not in ELSEWHERE and not name.startswith("straightline.")
    ],
)
def test_a_request_passes_functions_that_exist(file: str, name: str) -> None:
    assert name in functions(file)


@pytest.mark.parametrize(("name", "file"), sorted({(m["name"], m["file"]) for m in IN_FILE.finditer(PAGE)}))
def test_a_function_is_in_the_file_named_beside_it(name: str, file: str) -> None:
    assert name in functions(file)
