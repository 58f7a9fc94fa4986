"""A comparison in every form it is shown in."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from fakes.events import SAID
from fakes.runs import STEADY, FakeCell, run_of_set, source
from mac_whisper_speedtest.compare import compare, document, fail_on
from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.report import ci_formats, comparison, comparison_markdown

WRONG = dict.fromkeys(SAID, "something else entirely was written down here by it")
SLOW = [each * 1.5 for each in STEADY]


def steady(backend: str, **fields: Any) -> FakeCell:
    return FakeCell(backend, **{"rtf": STEADY, **fields})


@pytest.fixture(scope="module")
def found() -> Compared:
    base = [
        steady("same"),
        steady("slow@1.1", version="1.1"),
        steady("wrong"),
        steady("broken"),
        steady("gone"),
        steady("big"),
    ]
    new = [
        steady("same"),
        steady("slow@1.2", rtf=SLOW, version="1.2"),
        steady("wrong", text=WRONG),
        steady("broken", ending="failed", message="no | such <file> @someone \x1b[31m"),
        steady("big", peak_bytes=600_000_000),
        steady("extra"),
    ]
    machine: dict[str, Any] = {
        "canary_s": [0.02, 0.0201, 0.0199],
        "values": {"power_source": "mains"},
    }
    first = source(run_of_set(*base, tags=["base"], **machine))
    second = source(run_of_set(*new, number=2, **machine))
    return fail_on.judged(compare.compare(first, second), list(fail_on.KINDS))


def table_rows(text: str, names: list[str]) -> dict[str, str]:
    lines = [each.strip() for each in text.splitlines()]
    return {name: next(each for each in lines if each.startswith(name)) for name in names}


def test_the_table_has_a_row_per_cell_with_its_words(found: Compared) -> None:
    text = comparison.comparison_text(found)
    shown = table_rows(text, ["same 1", "slow 1", "wrong 1", "broken", "gone", "big 1", "extra"])
    assert re.search(
        r"10\.0 → 10\.0 +1\.000 \(.*\) +SAME +as good +0\.0% \(0\.0%–[\d.]+%\) → "
        r"0\.0% \(0\.0%–[\d.]+%\) +2 of 2",
        shown["same 1"],
    )
    assert "slow 1.1 → 1.2" in shown["slow 1"]
    assert "SLOWER" in shown["slow 1"]
    assert "wrong" in shown["wrong 1"].removeprefix("wrong")
    assert "0 of 2" in shown["wrong 1"]
    assert "failed" in shown["broken"]
    assert "missing" in shown["gone"]
    assert "300 → 600 MORE" in shown["big 1"]
    assert "added" in shown["extra"]
    assert "power_source" in text
    assert "run 1 (base) of 2026" in text


def test_what_fails_the_build_is_said_at_the_end(found: Compared) -> None:
    last = comparison.comparison_text(found).splitlines()[-len(found.regressions) :]
    assert [line.partition(":")[0] for line in last] == [
        "slower", "wrong", "changed", "failed", "memory", "failed",
    ]  # fmt: skip


def test_without_anything_to_fail_on_that_is_said(found: Compared) -> None:
    clean = fail_on.judged(msgspec.structs.replace(found, cells=[found.cells[0]]), ["slower"])
    assert comparison.outcome(clean) == ["Nothing to fail on (slower)."]
    assert comparison.outcome(msgspec.structs.replace(clean, fail_on=[])) == []


def test_what_cannot_be_decided_is_said_in_every_format(found: Compared) -> None:
    unknown = fail_on.judged(msgspec.structs.replace(found, cells=[found.cells[0]]), ["energy"])
    line = "energy: same tiny.en on speech: energy not measured: no energy counter"
    assert comparison.outcome(unknown) == [
        f"not decided: {line}",
        "Nothing else to fail on (energy).",
    ]
    assert "- ❔ not decided: energy: same" in comparison_markdown.render(unknown)
    assert "not decided: energy: energy not measured" in ci_formats.render_junit(unknown)


def test_a_comparison_that_should_not_be_made_says_so_first(found: Compared) -> None:
    anyway = msgspec.structs.replace(found, differences=["the hardware differs: a and b"])
    assert comparison.notes(anyway)[0] == "NOT COMPARABLE: the hardware differs: a and b"
    assert "> **Not comparable:** the hardware differs" in comparison_markdown.render(anyway)


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, split where Markdown splits them."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([each.strip() for each in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def test_markdown_tables_have_as_many_columns_in_every_row(found: Compared) -> None:
    tables = markdown_tables(comparison_markdown.render(found))
    assert len(tables) == 2
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
    assert len(tables[0]) == 2 + len(found.cells)


def test_markdown_shows_what_came_from_outside_as_text(found: Compared) -> None:
    text = comparison_markdown.render(found)
    assert "<file>" not in text
    assert "\\<file\\>" in text
    assert "@someone" not in text
    assert text.count("<details>") == text.count("</details>") == 2


def test_markdown_fits_a_comment_and_says_what_is_left_out(found: Compared) -> None:
    many = [
        msgspec.structs.replace(found.facts[0] if found.facts else _fact(), name=f"library {n}")
        for n in range(5000)
    ]
    text = comparison_markdown.render(msgspec.structs.replace(found, facts=many))
    assert len(text) <= 65_000
    assert re.search(r"and \d{4} more lines", text)
    assert text.rstrip().endswith("</details>")


def _fact() -> document.FactChange:
    return document.FactChange(name="x", unit="", base="1", new="2", differs=True)


def test_json_reads_back_as_what_it_was(found: Compared) -> None:
    assert msgspec.json.decode(document.to_json(found), type=Compared) == found


def test_github_action_benchmark_gets_names_without_versions_and_the_new_values(
    found: Compared,
) -> None:
    entries = {
        each["name"]: each for each in json.loads(ci_formats.render_github_action_benchmark(found))
    }
    slow = entries["slow tiny.en on speech: RTF"]
    assert slow["value"] == pytest.approx(0.15, rel=0.01)
    assert slow["unit"] == "s per audio s"
    assert re.fullmatch(r"± 0\.00\d+", slow["range"])
    assert "1.2" in slow["extra"]
    assert entries["wrong tiny.en on speech: WER"]["value"] > 100
    assert entries["big tiny.en on speech: peak RSS"] == {
        "name": "big tiny.en on speech: peak RSS",
        "unit": "MB",
        "value": 600.0,
        "extra": "big 1.2.3 float32\nMORE",
    }
    assert not any("broken" in name or "gone" in name or "energy" in name for name in entries)
    for each in entries.values():
        assert isinstance(each["value"], float)


def test_hyperfine_gets_seconds_of_every_round_for_base_and_new(found: Compared) -> None:
    results = json.loads(ci_formats.render_hyperfine(found))["results"]
    assert len(results) == 2 * 4
    base, new = (
        next(
            each
            for each in results
            if each["parameters"]["backend"] == "slow" and each["parameters"]["run"] == side
        )
        for side in ("base", "new")
    )
    assert base["times"] == pytest.approx([20 * each for each in STEADY])
    assert new["mean"] == pytest.approx(3.0, rel=0.01)
    assert new["command"] == "slow@1.2 float32 tiny.en on speech (new)"
    assert set(new) == {
        "command", "mean", "stddev", "median", "user", "system", "min", "max", "times",
        "exit_codes", "parameters",
    }  # fmt: skip
    assert new["min"] <= new["median"] <= new["max"]
    assert len(new["exit_codes"]) == len(new["times"])


def test_junit_has_a_case_per_cell_that_fails_for_what_was_asked(found: Compared) -> None:
    root = ElementTree.fromstring(ci_formats.render_junit(found))
    (suite,) = root
    cases = {each.get("name"): each for each in suite.iter("testcase")}
    assert len(cases) == len(found.cells) == int(suite.get("tests", ""))
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert failed == {"slow", "wrong", "broken", "gone", "big"}
    assert suite.get("failures") == "5"
    assert suite.get("skipped") == "1"
    assert cases["extra"].find("skipped") is not None
    slow = cases["slow"].find("failure")
    assert slow is not None
    assert slow.get("type") == "slower"
    assert float(cases["slow"].get("time", "")) == pytest.approx(3.0, rel=0.01)


def test_junit_without_fail_on_fails_nothing(found: Compared) -> None:
    root = ElementTree.fromstring(ci_formats.render_junit(fail_on.judged(found, [])))
    assert not list(root.iter("failure"))
    cases = {each.get("name"): each for each in root.iter("testcase")}
    skipped = {name for name, case in cases.items() if case.find("skipped") is not None}
    assert skipped == {"broken", "gone", "extra"}


def test_junit_holds_only_characters_that_xml_knows(found: Compared) -> None:
    assert "\x1b" in found.cells[3].message
    assert "\x1b" not in ci_formats.render_junit(found)


def test_a_message_cannot_steer_the_terminal(found: Compared) -> None:
    assert "\x1b" not in comparison.comparison_text(found)
    assert "\x1b" not in comparison_markdown.render(found)


def test_variants_of_a_backend_have_names_of_their_own_in_every_format() -> None:
    versions = [steady("a@1.1", version="1.1"), steady("a@1.2", version="1.2", rtf=SLOW)]
    others = [steady("a:int8"), steady("a:int8", peak_bytes=600_000_000)]
    base = run_of_set(steady("a@1.1", version="1.1"), steady("a@1.2", version="1.2"), others[0])
    new = run_of_set(*versions, others[1], number=2)
    several = fail_on.judged(compare.compare(source(base), source(new)), list(fail_on.KINDS))

    labels = ["a@1.1", "a@1.2", "a:int8"]
    names = ["a@1.1 float32", "a@1.2 float32", "a:int8 1.2.3 float32"]
    assert [each.label for each in several.cells] == labels
    assert [each.cell for each in several.regressions] == [
        "a@1.2 tiny.en on speech", "a:int8 tiny.en on speech",
    ]  # fmt: skip
    (rows,) = comparison.tables(several).values()
    assert [row[0] for row in rows] == names
    written = markdown_tables(comparison_markdown.render(several))[0]
    assert [row[0] for row in written[2:]] == names
    cases = ElementTree.fromstring(ci_formats.render_junit(several)).iter("testcase")
    failed = {each.get("name"): each.find("failure") is not None for each in cases}
    assert failed == {"a@1.1": False, "a@1.2": True, "a:int8": True}
    commands = [
        each["command"] for each in json.loads(ci_formats.render_hyperfine(several))["results"]
    ]
    assert commands == [
        f"{name} tiny.en on speech ({side})" for name in names for side in ("base", "new")
    ]
    entries = json.loads(ci_formats.render_github_action_benchmark(several))
    speeds = [each["name"] for each in entries if each["name"].endswith("RTF")]
    assert speeds == [f"{label} tiny.en on speech: RTF" for label in labels]


def test_a_backend_that_is_there_twice_has_numbered_labels() -> None:
    first, second = (run_of_set(steady("a"), number=number).run for number in (1, 2))
    twice = [
        msgspec.structs.replace(
            run, cells=[run.cells[0], msgspec.structs.replace(run.cells[0], id="again")]
        )
        for run in (first, second)
    ]
    base, new = (RunSource(str(run.manifest.run), run, None) for run in twice)
    assert [each.label for each in compare.compare(base, new).cells] == ["a (1)", "a (2)"]
