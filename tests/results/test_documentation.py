"""docs/results.md describes every reading, condition, status and exit code, and no others."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.export import files, tables
from mac_whisper_speedtest.machine import cpu, gpu, memory
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.results import schema
from mac_whisper_speedtest.results.schema import Struct
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.worker.exit_status import Status

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
EVENTS = get_args(schema.Event)


def _section(heading: str) -> str:
    """The text under the one heading that contains ``heading``, up to the next heading."""
    parts = re.split(r"^(#+ .*)$", PAGE, flags=re.MULTILINE)
    found = [text for title, text in zip(parts[1::2], parts[2::2], strict=True) if heading in title]
    assert len(found) == 1, f"{len(found)} headings of docs/results.md contain {heading}"
    return found[0]


def _rows(section: str, first_header: str) -> dict[str, list[str]]:
    """The table that begins with ``first_header``: first column without backticks → the row."""
    table = re.search(rf"^\| {first_header} \|.*\n\|[-|]+\n((?:\|.*\n)+)", section, re.MULTILINE)
    assert table, f"no table begins with {first_header!r}"
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in table[1].splitlines()]
    return {row[0]: row for row in rows}


def _quoted(names: object) -> list[str]:
    assert isinstance(names, (list, tuple))
    return [f"`{name}`" for name in names]


def _units(heading: str, first_header: str, *, having: str) -> dict[str, str]:
    """Name → unit, of the table below ``heading`` that has a row for ``having``."""
    tables = re.split(r"\n\n", _section(heading))
    (table,) = (each for each in tables if f"| `{having}` |" in each)
    return {name.strip("`"): row[1] for name, row in _rows(f"{table}\n", first_header).items()}


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_every_journal_event_is_in_the_json_logs(kind: type[Struct]) -> None:
    assert f"`{kind.__struct_config__.tag}`" in _section("`--json-logs`")


def test_every_reading_around_a_workers_samples_is_described_with_its_unit() -> None:
    given = {**memory.LINUX_UNITS, **memory.MACOS_UNITS, **memory.SWAP_UNITS, **gpu.UNITS}
    described = _units("Names of readings", "reading", having="rss_bytes")
    energy = {name: unit for name, unit in described.items() if "energy_" in name}
    assert set(energy.values()) == {"s", "J"}
    assert {name: unit for name, unit in described.items() if name not in energy} == given


def test_every_reading_around_one_sample_is_described_with_its_unit() -> None:
    assert _units("Names of readings", "reading", having="outside_share") == cpu.UNITS


def test_every_condition_of_the_machine_is_described_in_order() -> None:
    rows = _rows(_section("Names of conditions"), "condition")
    known = [each.name for each in fields(Conditions) if each.name != "unknown"]
    assert list(rows) == _quoted(known)


def test_every_rung_of_the_load_ladder_is_described() -> None:
    rungs = {schema.LOAD_COLD, schema.LOAD_FRESH, schema.LOAD_WARM}
    assert set(_rows(_section("Rungs of the load ladder"), "rung")) == set(_quoted(list(rungs)))


def test_every_verdict_on_speed_is_described_in_order() -> None:
    rows = _rows(_section("Verdicts on speed"), "verdict")
    assert list(rows) == _quoted(list(Verdict))


def test_every_format_and_table_of_an_export_is_described_in_order() -> None:
    assert list(_rows(_section("Export"), "format")) == _quoted(list(files.FORMATS))
    assert list(_rows(_section("Export"), "table")) == _quoted(tables.NAMES)


def test_every_status_is_described_in_order() -> None:
    assert list(_rows(_section("Statuses"), "status")) == _quoted(list(Status))


def test_every_exit_code_is_described_with_its_name() -> None:
    rows = _rows(_section("Exit codes"), "code")
    assert {code: row[1] for code, row in rows.items()} == {
        str(int(code)): f"`{code.name}`" for code in ExitCode
    }


def test_every_contract_setting_is_described_in_order() -> None:
    assert list(_rows(_section("Contract settings"), "setting")) == _quoted(SETTING_NAMES)


def test_the_page_is_about_the_current_schema_version() -> None:
    assert f"`schema_version` is {schema.SCHEMA_VERSION}." in _section("Stability")
