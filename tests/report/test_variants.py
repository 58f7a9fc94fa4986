"""Variants of one backend, really measured: no report shows two of them under one name."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conftest import Call, describe_fake, write_tone
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.compare import compare, fail_on, sources
from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.report import ci_formats, comparison
from mac_whisper_speedtest.report.html import notebook
from parsed_html import Element, parse

VARIANTS = ("fake", "fake:int8", "fake:float16")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """Two runs of the same variants, the second in another order."""
    folder = tmp_path_factory.mktemp("variants")
    tone = write_tone(folder / "tone.wav")
    backend = registry.from_toml(describe_fake(folder, "fake"))
    counts = ("--rounds", "1", "--passes", "1", "--threads", "1", "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEEDTEST_DATA_DIR", str(folder / "data"))
        patch.setattr(registry, "installed", lambda: {"fake": backend})
        for order in (VARIANTS, VARIANTS[::-1]):
            chosen = [word for each in order for word in ("-b", each)]
            words = ["run", "-m", "tiny.en", *chosen, "--audio", str(tone), *counts]
            patch.setattr(sys, "argv", ["speedtest", *words])
            assert cli.main() == 0
        found = [folder / "data" / "runs" / f"{number:06}" for number in (1, 2)]
        for order, path in zip((VARIANTS, VARIANTS[::-1]), found, strict=True):
            cells = json.loads((path / "run.json").read_text())["cells"]
            assert [each["backend"]["name"] for each in cells] == list(order)
        yield found


def different(names: list[str], count: int = len(VARIANTS)) -> None:
    assert len(names) == count
    assert len(set(names)) == count
    for each in VARIANTS:
        assert sum(name.split()[0] == each for name in names) == count // len(VARIANTS)


def rows(table: Element) -> list[str]:
    return [row.children[0].text for body in table.all("tbody") for row in body.all("tr")]  # type: ignore[union-attr]


def test_two_variants_never_have_one_name(
    runs: list[Path], speedtest: Call, tmp_path: Path
) -> None:
    first = runs[0]
    shown = speedtest("show", first).out
    different([re.split(r" {2,}", line.strip())[1] for line in shown.splitlines() if "cpu" in line])
    page = tmp_path / "page.html"
    assert speedtest("report", first, "-o", page).code == 0
    different(rows(parse(page.read_text()).one("section", id="ranking").one("table")))
    made = parse(notebook.run_html(sources.load(str(first)).run, "1"))
    different([row.children[1].text for row in made.all("tr")[1:]])  # type: ignore[union-attr]
    exported = csv.DictReader(io.StringIO(speedtest("export", first, "-f", "csv").out))
    different([row["backend"] for row in exported])


def test_each_has_a_history_and_a_text_of_its_own(runs: list[Path], speedtest: Call) -> None:
    for name in VARIANTS:
        (series,) = speedtest("history", name, "--json").json["series"]
        assert series["backend"] == name
        assert len(series["points"]) == len(runs)
    said = speedtest("diff", runs[0], *VARIANTS[:2])
    assert said.code == 0
    assert "fake tiny.en and fake:int8 tiny.en" in said.out


def test_each_is_compared_with_itself_whatever_the_order(runs: list[Path]) -> None:
    base, new = (sources.load(str(each)) for each in runs)
    compared = fail_on.judged(compare.compare(base, new), [])
    assert {
        (each.base and each.base.backend, each.new and each.new.backend) for each in compared.cells
    } == {(each, each) for each in VARIANTS}
    different([row[0] for table in comparison.tables(compared).values() for row in table])
    check_ci_formats(compared)


def check_ci_formats(compared: Compared) -> None:
    cases = list(ElementTree.fromstring(ci_formats.render_junit(compared)).iter("testcase"))
    different([case.attrib["name"] for case in cases])
    entries = json.loads(ci_formats.render_github_action_benchmark(compared))
    names = [each["name"] for each in entries]
    assert len(names) == len(set(names))
    different([each for each in names if each.endswith("RTF")])
    results = json.loads(ci_formats.render_hyperfine(compared))["results"]
    different([each["command"] for each in results], 2 * len(VARIANTS))
