import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

PACKAGES = (
    "broker_config",
    "function_host",
    "gateway",
    "model_server",
    "modelkit",
    "outcomes",
    "scheduler",
    "straightline",
    "workers",
)
PREFIXES = {"function_host.settings": "STRAIGHTLINE_FUNCTIONS_"}
ROW = re.compile(r"^\| `(STRAIGHTLINE_\w+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def structures(root: Path) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Yield every settings class of the code, with its module."""
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            module = ".".join(file.relative_to(root).with_suffix("").parts)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
                    yield module, getattr(importlib.import_module(module), node.name)


def shown(default: Any) -> str:
    if default is msgspec.NODEFAULT:
        return "required"
    return "none" if default in (None, "") else f"`{default}`"


@pytest.fixture(scope="module")
def expected(root: Path) -> dict[str, set[str]]:
    """Return the default of each variable that the code reads; several if components differ."""
    found: dict[str, set[str]] = {}
    for module, structure in structures(root):
        for field in msgspec.structs.fields(structure):
            name = PREFIXES.get(module, "STRAIGHTLINE_") + field.encode_name.upper()
            found.setdefault(name, set()).add(shown(field.default))
    return found


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_the_search_finds_the_settings(expected: dict[str, set[str]]) -> None:
    assert {"STRAIGHTLINE_D", "STRAIGHTLINE_FUNCTIONS_PORT", "STRAIGHTLINE_SERVE_BIND"} <= set(expected)


def test_every_setting_is_in_the_table_with_its_default(expected: dict[str, set[str]], page: str) -> None:
    rows = ROW.findall(page)
    assert len(rows) == len(dict(rows)), "a variable is listed twice"
    assert {name: {default} for name, default in rows} == expected


def test_every_compose_variable_is_documented(compose_text: str, page: str) -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", compose_text))
    secret = {name for name in used if re.search("PASSWORD|ACCESS_KEY", name)}
    assert [name for name in sorted(used - secret) if f"`{name}`" not in page] == []


def test_every_service_is_documented(services: dict[str, Any], page: str) -> None:
    assert [name for name in services if f"`{name}`" not in page] == []
