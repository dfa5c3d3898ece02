import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[list[str]]:
    text = (root / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def sources(instructions: list[list[str]]) -> list[str]:
    return [words[1] for words in instructions if words[0] == "COPY" and not words[1].startswith("--from")]


def test_copied_paths_exist_and_are_in_the_context(instructions: list[list[str]], root: Path) -> None:
    sent = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(sources(instructions)) == sent
    assert all((root / source).is_dir() for source in sent)


def test_packages_are_installed_from_the_lock_with_hashes(instructions: list[list[str]], root: Path) -> None:
    installs = [" ".join(words) for words in instructions if words[0] == "RUN" and '"install",' in words]
    assert len(installs) == 3
    for install in installs:
        lists = re.findall(r"/requirements/(\w+\.txt)", install)
        assert lists
        assert all((root / "requirements" / name).is_file() for name in lists)
    options = {word for words in instructions if words[0] == "ENV" for word in words[1:]}
    assert {"PIP_REQUIRE_HASHES=1", "PIP_ONLY_BINARY=:all:"} <= options


def test_the_base_image_is_an_argument_with_a_pinned_default(instructions: list[list[str]]) -> None:
    assert instructions[0][0] == "ARG"
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[1-9]-slim-\w+", instructions[0][1])
    stages = {words[3] for words in instructions if words[0] == "FROM" and len(words) == 4}
    bases = {words[1] for words in instructions if words[0] == "FROM"}
    assert bases <= stages | {"${PYTHON_IMAGE}"}


def test_images_have_no_root_user_and_no_installer(instructions: list[list[str]]) -> None:
    final: dict[str, list[list[str]]] = {}
    for words in instructions:
        if words[0] == "FROM":
            stage = words[3] if len(words) == 4 else "default"
            final[stage] = []
        elif final:
            final[stage].append(words)
    for stage in ("application", "digits"):
        users = [words[1] for words in final[stage] if words[0] == "USER"]
        assert users
        assert not users[-1].startswith(("root", "0"))
        assert not any("--from=installer" in words or "/pip" in words for words in final[stage])
    assert final["default"] == []
    assert instructions[-1] == ["FROM", "application"]


def test_no_wheel_with_a_generic_name_is_installed(instructions: list[list[str]]) -> None:
    environment = {word for words in instructions if words[0] == "ENV" for word in words[1:]}
    assert "PYTHONPATH=/srv/straightline" in environment
    assert "pyproject.toml" not in sources(instructions)


def test_images_limit_malloc_arenas(instructions: list[list[str]]) -> None:
    application = instructions[[words[-1] for words in instructions].index("application") :]
    environment = {word for words in application if words[0] == "ENV" for word in words[1:]}
    assert {"MALLOC_ARENA_MAX=2", "MALLOC_MMAP_THRESHOLD_=131072"} <= environment
