"""Functions are found by name or ARN, and an invalid package is reported."""

from pathlib import Path

import pytest

from function_host.instances.report import end_lines, init_report_line
from function_host.names import plain_name
from function_host.packages import find_function, list_functions
from modelkit.package.function import function_name
from straightline.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("straightline-digits", "straightline-digits"),
        ("f:$LATEST", "f"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f", "f"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST", "f"),
        ("123456789012:function:f", "f"),
        ("f:7", None),
        ("../f", None),
        ("f/g", None),
        ("", None),
        ("f" * 141, None),
    ],
)
def test_names_and_arns_are_parsed_as_on_aws(name: str, plain: str | None) -> None:
    assert plain_name(name) == plain


def deploy(packages: Path, content: str, name: str = "f") -> None:
    (packages / name).mkdir(exist_ok=True)
    (packages / name / "function.toml").write_text(content)


def test_a_new_deployment_has_another_revision(tmp_path: Path) -> None:
    deploy(tmp_path, 'name = "f"\nhandler = "m.h"\n')
    first = find_function(tmp_path, "f")
    assert first is not None
    assert first == find_function(tmp_path, "f")
    assert first.directory == tmp_path / "f"
    deploy(tmp_path, 'name = "f"\nhandler = "m.h"\ntimeout = 5\n')
    second = find_function(tmp_path, "f")
    assert second is not None
    assert second.revision != first.revision
    assert list_functions(tmp_path) == [second]


@pytest.mark.parametrize(
    "content",
    [
        "name =",
        'name = "f"',
        'name = "g"\nhandler = "m.h"',
        'name = "f"\nhandler = "m"',
        'name = "f"\nhandler = "m.h"\ntimeout = 0',
        'name = "f"\nhandler = "m.h"\nmemory = 1',
    ],
)
def test_an_invalid_package_is_named(tmp_path: Path, content: str) -> None:
    deploy(tmp_path, content)
    with pytest.raises(ConfigurationError, match=r"f/function\.toml"):
        find_function(tmp_path, "f")


def test_an_undeployed_function_is_not_found(tmp_path: Path) -> None:
    assert find_function(tmp_path, "f") is None
    assert list_functions(tmp_path) == []


def test_function_names_have_no_dots() -> None:
    assert function_name("bert.base") == "straightline-bert-base"


def test_report_lines_match_lambda() -> None:
    lines = end_lines("id", duration=0.0015, memory=128, used=64, init=0.2, status="timeout")
    assert lines == (
        "END RequestId: id\nREPORT RequestId: id\tDuration: 1.50 ms\tBilled Duration: 202 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 200.00 ms\tStatus: timeout\n"
    )
    assert "Init Duration" not in end_lines("id", duration=1, memory=128, used=64)
    assert init_report_line(10, "timeout") == (
        "INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\n"
    )
