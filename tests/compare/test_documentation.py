"""docs/compare.md describes every state, verdict and format, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from mac_whisper_speedtest.cli import compare as command
from mac_whisper_speedtest.compare import document, fail_on
from mac_whisper_speedtest.stats.ranking import Verdict

PAGE = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    parts = re.split(r"^(#+ .*)$", PAGE, flags=re.MULTILINE)
    found = [text for title, text in zip(parts[1::2], parts[2::2], strict=True) if heading in title]
    assert len(found) == 1, f"{len(found)} headings of docs/compare.md contain {heading}"
    return found[0]


def rows(text: str, first_header: str) -> dict[str, list[str]]:
    table = re.search(rf"^\| {first_header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, f"no table begins with {first_header!r}"
    found = [
        [each.strip() for each in line.strip("|").split("|")] for line in table[1].splitlines()
    ]
    return {row[0]: row for row in found}


def quoted(names: object) -> list[str]:
    assert isinstance(names, (list, tuple))
    return [f"`{name}`" for name in names]


def test_every_state_of_a_cell_is_described() -> None:
    states = {
        document.COMPARED,
        document.FAILED,
        document.FIXED,
        document.FAILED_IN_BOTH,
        document.MISSING,
        document.ADDED,
        document.UNMATCHED,
    }
    assert set(rows(section("The JSON"), "state of a cell")) == {f"`{each}`" for each in states}


def test_every_verdict_on_speed_is_described() -> None:
    described = rows(section("Faster or slower"), "verdict")
    assert set(described) == {f"`{each}`" for each in Verdict}


def test_everything_that_can_fail_a_build_is_described() -> None:
    described = rows(section("Failing a build"), "`--fail-on`")
    assert list(described)[:-1] == quoted(list(fail_on.KINDS))


def test_every_format_is_described() -> None:
    assert list(rows(section("Formats"), "format")) == quoted(command.FORMATS)
