"""The pages name only files that exist, and the table of decisions lists every record."""

import re
from pathlib import Path

import pytest

from tests.npm import ROOT

PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "script" / "README.md",
    ROOT / "tests" / "faults" / "README.md",
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE_PATH = re.compile(r"`([a-z_]+(?:/[a-z0-9_]+)+(?:\.py|/))`")
RECORDS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def names(pages: list[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_path_of_code_exists(page: Path) -> None:
    paths = CODE_PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("record", RECORDS, ids=names(RECORDS))
def test_the_table_of_decisions_has_every_record_with_its_title(record: Path) -> None:
    title = record.read_text(encoding="utf-8").splitlines()[0]
    number, _, decision = title.removeprefix("# ").partition(": ")
    assert record.name.startswith(f"{number}-")
    table = (record.parent / "README.md").read_text(encoding="utf-8")
    assert f"| [{number}]({record.name}) | {decision} |" in table


@pytest.mark.parametrize("record", RECORDS, ids=names(RECORDS))
def test_a_record_has_context_decision_consequences_and_alternatives(record: Path) -> None:
    headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = ["Context", "Decision", "Consequences", "Alternatives"]
    assert [heading for heading in headings if heading in wanted] == wanted
