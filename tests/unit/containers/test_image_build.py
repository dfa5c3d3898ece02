"""What is sent to the engine to build an image."""

import io
import tarfile
from pathlib import Path

import pytest

from modelkit.package.context import write_context
from modelkit.package.dockerfile import dockerfile
from straightline.contracts import ModelSpec
from straightline.errors import ConfigurationError

SPEC = ModelSpec(name="digits", version="1", inputs=(), outputs=())


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A bundle, a wheelhouse and a list of requirements."""
    bundle, wheels = tmp_path / "bundle", tmp_path / "wheels"
    (bundle / "__pycache__").mkdir(parents=True)
    wheels.mkdir()
    (bundle / "model.toml").write_text("name")
    (bundle / "model.toml").chmod(0o600)
    (bundle / "__pycache__" / "model.pyc").write_text("cache")
    (wheels / "flask-1-py3-none-any.whl").write_text("wheel")
    (wheels / "weights_of_mine-1-py3-none-any.whl").write_text("nothing that is served")
    (wheels / "own_one-1-py3-none-any.whl").write_text("of the model")
    (wheels / "notes.txt").write_text("no wheel")
    (bundle / "own.txt").write_text("# mine\nOwn.One==1 \\\n    --hash=sha256:00\n")
    requirements = tmp_path / "serve.txt"
    requirements.write_text("flask==1")
    return bundle, wheels, requirements


def context(parts: tuple[Path, Path, Path]) -> bytes:
    target = io.BytesIO()
    write_context(target, "FROM base", *parts)
    return target.getvalue()


def test_the_context_holds_only_what_is_served(parts: tuple[Path, Path, Path]) -> None:
    with tarfile.open(fileobj=io.BytesIO(context(parts))) as tar:
        names = set(tar.getnames())
    assert {"Dockerfile", "requirements.txt", "bundle/model.toml", "code/model_server/app.py"} <= names
    assert "wheelhouse/flask-1-py3-none-any.whl" in names
    assert not any(
        name.startswith(("wheelhouse/notes", "wheelhouse/weights", "wheelhouse/own")) for name in names
    )
    assert not any("__pycache__" in name or name.startswith("code/modelkit/package") for name in names)


def test_a_models_own_packages_are_a_separate_layer(
    parts: tuple[Path, Path, Path],
) -> None:
    target = io.BytesIO()
    write_context(target, "FROM base", *parts, own_requirements="own.txt")
    target.seek(0)
    with tarfile.open(fileobj=target) as tar:
        wheels = {name for name in tar.getnames() if name.endswith(".whl")}
    assert wheels == {"wheelhouse/flask-1-py3-none-any.whl", "own-wheelhouse/own_one-1-py3-none-any.whl"}
    lines = dockerfile(SPEC, "00", "base", requirements="own.txt").splitlines()
    assert lines.index("COPY own-wheelhouse /own-wheelhouse") > lines.index("COPY wheelhouse /wheelhouse")


def test_a_function_image_has_lambdas_entry_point_and_handler() -> None:
    lines = dockerfile(SPEC, "00", "base", form="function").splitlines()
    assert 'ENTRYPOINT ["/opt/straightline/bin/python", "-m", "awslambdaric"]' in lines
    assert 'CMD ["function.handler"]' in lines
    assert "USER 65532:65532" in lines


def test_every_file_can_be_read_by_the_images_user_and_belongs_to_root(
    parts: tuple[Path, Path, Path],
) -> None:
    with tarfile.open(fileobj=io.BytesIO(context(parts))) as tar:
        members = tar.getmembers()
    assert all(member.mode & 0o044 == 0o044 for member in members)
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}


def test_the_same_content_makes_the_same_context(parts: tuple[Path, Path, Path]) -> None:
    assert context(parts) == context(parts)


def test_an_empty_wheelhouse_is_reported_with_the_remedy(
    parts: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigurationError, match="pip download"):
        context((parts[0], empty, parts[2]))


def test_the_image_runs_as_a_user_unknown_to_the_host_and_names_its_bundle() -> None:
    lines = dockerfile(SPEC, "ab" * 32, "debian:stable").splitlines()
    assert "USER 65532:65532" in lines
    assert f'straightline.bundle.digest="sha256:{"ab" * 32}"' in lines[-1]
    assert lines[-1].startswith("LABEL straightline.model=")


@pytest.mark.parametrize(
    ("spec", "base"),
    [
        (ModelSpec(name="a\nRUN evil", version="1", inputs=(), outputs=()), "debian"),
        (ModelSpec(name="a", version="../../etc", inputs=(), outputs=()), "debian"),
        (SPEC, "debian AS packages\nRUN evil"),
        (SPEC, ""),
    ],
)
def test_a_name_cannot_write_into_the_dockerfile(spec: ModelSpec, base: str) -> None:
    with pytest.raises(ConfigurationError, match="Dockerfile"):
        dockerfile(spec, "00", base)
