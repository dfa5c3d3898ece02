import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

REQUIRED = re.compile(r"\$\{([A-Z_]+):\?")


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    (tmp_path / "script").mkdir()
    shutil.copy(root / "script" / "compose-env", tmp_path / "script")
    return tmp_path


def write(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "script" / "compose-env"], capture_output=True, text=True, check=False, timeout=30
    )


def values(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="ascii").splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_all_required_variables_are_written(checkout: Path, compose_text: str) -> None:
    assert write(checkout).returncode == 0
    assert set(values(checkout / ".env")) == set(REQUIRED.findall(compose_text))


def test_secrets_are_long_random_and_private(checkout: Path) -> None:
    write(checkout)
    file = checkout / ".env"
    first = values(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.unlink()
    write(checkout)
    again = values(file)
    secrets = [name for name in first if name != "STRAIGHTLINE_DOCKER_GID"]
    found = [environment[name] for environment in (first, again) for name in secrets]
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in found)
    assert len(set(found)) == len(found)


def test_existing_secrets_are_kept(checkout: Path) -> None:
    (checkout / ".env").write_text("STRAIGHTLINE_BROKER_PASSWORD=mine\n", encoding="ascii")
    done = write(checkout)
    assert done.returncode == 1
    assert ".env exists and is kept" in done.stderr
    assert values(checkout / ".env") == {"STRAIGHTLINE_BROKER_PASSWORD": "mine"}


def test_a_link_is_not_followed(checkout: Path) -> None:
    (checkout / ".env").symlink_to(checkout / "elsewhere")
    assert write(checkout).returncode == 1
    assert not (checkout / "elsewhere").exists()


def test_secrets_are_ignored_by_git_and_docker(root: Path) -> None:
    assert ".env" in (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    allowed = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in allowed
    assert not any(line.startswith("!.") for line in allowed)
