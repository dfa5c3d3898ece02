"""An archive for Lambda is reproducible, and within Lambda's limits."""

import os
import zipfile
from pathlib import Path

import pytest

from model_server.models.bundle import DigestMismatch, check_digest, content_digest
from modelkit.package import archive
from modelkit.package.function import package_function
from modelkit.package.server import package_server
from straightline.errors import ConfigurationError

TOML = """
name = "echo"
version = "1"
flavour = "python"
entry = "model:run"
inputs = [{name = "x", datatype = "INT32", shape = [-1]}]
outputs = [{name = "x", datatype = "INT32", shape = [-1]}]
resources = {memory = 64}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    directory = tmp_path / "bundle"
    directory.mkdir()
    (directory / "model.toml").write_text(TOML)
    (directory / "model.py").write_text("def run(inputs):\n    return inputs\n")
    return directory


def test_times_owners_and_order_of_files_do_not_change_the_archive(tmp_path: Path) -> None:
    written: list[bytes] = []
    for name, order in (("one", "ab"), ("two", "ba")):
        folder = tmp_path / name
        folder.mkdir()
        for letter in order:
            (folder / letter).write_text(letter)
            os.utime(folder / letter, (len(written) * 1e6, 1e9))
        (folder / "a").chmod(0o700)
        archive.write_archive(folder, tmp_path / f"{name}.zip")
        written.append((tmp_path / f"{name}.zip").read_bytes())
    assert written[0] == written[1]
    with zipfile.ZipFile(tmp_path / "one.zip") as read:
        assert [member.external_attr >> 16 & 0o777 for member in read.infolist()] == [0o755, 0o644]


def test_a_package_is_the_same_wherever_it_was_built(bundle: Path, tmp_path: Path) -> None:
    digests = {content_digest(package_function(bundle, tmp_path / name)) for name in ("one", "two/deeper")}
    assert len(digests) == 1
    text = (tmp_path / "one" / "straightline-echo" / "function.toml").read_text()
    assert f'digest = "{content_digest(bundle)}"' in text
    assert "memory = 128" in text, "Lambda's minimum"


def test_a_too_large_archive_is_refused_with_the_remedy(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_UNZIPPED_BYTES", 1000)
    with pytest.raises(ConfigurationError, match="Compress the model, or use the form function-image"):
        archive.package_archive(bundle, tmp_path / "out", wheelhouse=tmp_path, requirements=[])
    assert not list((tmp_path / "out").iterdir())


def test_the_server_form_keeps_the_digest_and_changes_are_detected(bundle: Path, tmp_path: Path) -> None:
    placed = package_server(bundle, tmp_path / "models")
    assert placed == tmp_path / "models" / "echo" / "1"
    digest = f"sha256:{content_digest(bundle)}"
    check_digest(placed, digest)
    (placed / "model.py").write_text("evil = True\n")
    with pytest.raises(DigestMismatch, match="it has changed since it was built"):
        check_digest(placed, digest)


def test_an_external_model_has_only_the_server_form(bundle: Path, tmp_path: Path) -> None:
    text = TOML.replace('"python"', '"external"').replace(
        'entry = "model:run"', 'url = "http://h:1"\nbackends = ["local"]'
    )
    (bundle / "model.toml").write_text(text)
    assert (package_server(bundle, tmp_path / "models") / "model.toml").is_file()
    with pytest.raises(ConfigurationError, match="only the form `server`"):
        package_function(bundle, tmp_path / "functions")


def test_requirements_without_their_wheels_are_refused(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.toml").write_text(f'requirements = "own.txt"\n{TOML}')
    (bundle / "own.txt").write_text("absent==1.0 --hash=sha256:" + "0" * 64)
    with pytest.raises(ConfigurationError, match="--wheelhouse or STRAIGHTLINE_WHEELHOUSE"):
        package_server(bundle, tmp_path / "models")
    with pytest.raises(ConfigurationError, match=r"cannot be installed from .*. Fill it with `pip download"):
        package_server(bundle, tmp_path / "models", wheelhouse=tmp_path)
    assert not (tmp_path / "models" / "echo" / "1").exists()
