"""docs/explanation names what the code has, and no others."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mac_whisper_speedtest.accuracy.gate import REFERENCE_BACKENDS
from mac_whisper_speedtest.accuracy.normalize import NORMALIZERS
from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.results.schema.words import FindingKind
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.summary import findings

FOLDER = Path(__file__).parents[1] / "docs" / "explanation"


def first_column(page: str, heading: str) -> list[str]:
    """What stands in backquotes in the first column of the table under a heading, in order."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    _, found, after = text.partition(f"\n{heading}\n")
    assert found, f"{page} has no {heading!r}"
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert table, f"{page}: no table under {heading!r}"
    return [
        name
        for line in table[0].splitlines()[2:]
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    ]


def test_every_setting_of_a_contract_is_explained() -> None:
    assert first_column("method.md", "## Equal work") == list(SETTING_NAMES)


def test_every_verdict_is_explained() -> None:
    assert set(first_column("method.md", "## Ranks and verdicts")) == set(Verdict)


def test_every_kind_of_finding_is_explained() -> None:
    source = inspect.getsource(findings.findings_for_cell)
    reported = [FindingKind[each] for each in re.findall(r"\bFindingKind\.(\w+)", source)]
    explained = first_column("method.md", "## What the tool notices by itself")
    assert sorted(explained) == sorted(reported) == sorted(FindingKind)


def test_every_normalizer_is_explained() -> None:
    page = first_column("accuracy.md", "## What counts as the same words")
    assert page == list(NORMALIZERS)


def test_the_reference_backends_are_listed_in_order() -> None:
    text = (FOLDER / "accuracy.md").read_text(encoding="utf-8")
    words = " ".join(text.partition("\n## The accuracy gate\n")[2].split())
    assert ", ".join(REFERENCE_BACKENDS) in words


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_every_option_that_a_page_names_exists(page: Path) -> None:
    option = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    reference = (
        FOLDER.parent / "reference" / "commands.md",
        FOLDER.parent / "reference" / "run-options.md",
    )
    known = {
        each for path in reference for each in option.findall(path.read_text(encoding="utf-8"))
    }
    other_programs = {"--token"}
    assert set(option.findall(page.read_text(encoding="utf-8"))) - known - other_programs == set()
