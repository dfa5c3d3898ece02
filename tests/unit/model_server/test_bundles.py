"""Bundles are read or refused with the file's name; the digest covers their content."""

from pathlib import Path

import pytest

from model_server.models.bundle import content_digest, read_bundle, read_bundles
from straightline.errors import ConfigurationError
from tests.unit.model_server.tomls import TENSORS


def bundle(directory: Path, serving: str, *, name: str = "echo", version: str = "1") -> Path:
    target = directory / name / version
    target.mkdir(parents=True)
    (target / "model.toml").write_text(f'name = "{name}"\nversion = "{version}"\n{serving}\n{TENSORS}')
    (target / "code.py").write_text("def run(inputs):\n    return inputs\n")
    (target / "model.onnx").write_bytes(b"onnx")
    return target


def test_a_bundle_of_each_flavour_is_read(tmp_path: Path) -> None:
    onnx = read_bundle(bundle(tmp_path, 'flavour = "onnx"\nartifact = "model.onnx"', name="one"))
    python = read_bundle(bundle(tmp_path, 'flavour = "python"\nentry = "code:run"', name="two"))
    assert onnx.artifact is not None
    assert onnx.artifact.read_bytes() == b"onnx"
    assert python.entry == ("code", "run")
    assert python.spec.outputs[0].name == "y"


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        ("", "flavour"),
        ('flavour = "java"', "flavour"),
        ('flavour = "onnx"', "artifact"),
        ('flavour = "onnx"\nartifact = "none.onnx"', "none.onnx"),
        ('flavour = "onnx"\nartifact = "../../../etc/passwd"', "not a file in its directory"),
        ('flavour = "python"', "entry"),
        ('flavour = "python"\nentry = "code"', "entry"),
        ('flavour = "python"\nentry = "none:run"', "'none'"),
        ('flavour = "python"\nentry = "..code:run"', "entry"),
    ],
)
def test_an_invalid_bundle_is_refused_with_the_reason(tmp_path: Path, serving: str, told: str) -> None:
    directory = bundle(tmp_path, serving)
    with pytest.raises(ConfigurationError) as caught:
        read_bundle(directory)
    assert told in str(caught.value)
    assert str(directory / "model.toml") in str(caught.value)


def test_versions_are_read_in_ascending_order(tmp_path: Path) -> None:
    for version in ("10", "9", "1"):
        bundle(tmp_path, 'flavour = "python"\nentry = "code:run"', version=version)
    assert [each.spec.version for each in read_bundles(tmp_path)] == ["1", "9", "10"]


def test_a_directory_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no model in"):
        read_bundles(tmp_path)


def test_the_digest_depends_only_on_names_and_contents(tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    for directory in (one, two):
        (directory / "sub").mkdir(parents=True)
        (directory / "a").write_text("1")
        (directory / "sub" / "b").write_text("2")
    (two / "__pycache__").mkdir()
    (two / "__pycache__" / "a.pyc").write_text("cache")
    assert content_digest(one) == content_digest(two)
    (two / "sub" / "b").write_text("3")
    assert content_digest(one) != content_digest(two)
    (two / "sub" / "b").write_text("2")
    (two / "a").rename(two / "c")
    assert content_digest(one) != content_digest(two)
