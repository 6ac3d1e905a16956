"""The table of docs/architecture.md that says which files a change touches, held against the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CHANGES = {
    "noise schedule", "head", "loss", "metric", "method", "condition", "MR channel", "third dimension",
    "source of cohorts", "output of predict",
}  # fmt: skip


def rows() -> dict[str, list[str]]:
    """Return the files of each change."""
    table = PAGE.split("| to add a | touch |")[1].split("\n\n")[0]
    cells = [line.split("|")[1:3] for line in table.splitlines() if line.count("|") > 3]
    return {name.strip(): re.findall(r"`([\w/<>]+\.py)`", files) for name, files in cells if "---" not in name}


def test_the_ten_changes_are_told():
    assert set(rows()) == CHANGES


@pytest.mark.parametrize(("change", "files"), rows().items())
def test_a_change_touches_one_to_three_files_that_are_there(change, files):
    assert 1 <= len(files) <= 3, change
    for file in files:
        path = ROOT / "tfdrift" / file
        assert path.parent.is_dir() if "<name>" in file else path.is_file(), file


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "docs/adr").glob("*.md")))
def test_every_decision_is_listed(name):
    assert f"adr/{name}" in PAGE
