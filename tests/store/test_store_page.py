"""docs/store.md describes every column of the index, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mac_whisper_speedtest.cli import results
from mac_whisper_speedtest.store.rows import CellRow, RunRow

PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("table", "kind"), [("runs", RunRow), ("cells", CellRow)])
def test_every_column_is_described(table: str, kind: Any) -> None:
    section = PAGE.split(f"### Table `{table}`")[1].split("\n##")[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    described = re.findall(r"`(\w+)`", " ".join(firsts))
    assert sorted(described) == sorted(field.name for field in fields(kind))


def test_every_command_is_described() -> None:
    section = PAGE.split("## Commands")[1].split("\n###")[0]
    described = set(re.findall(r"`results (\w+)", section))
    assert described == set(results.command.list_commands(None))  # type: ignore[arg-type]
