"""docs/store.md describes every command of the store, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from mac_whisper_speedtest.cli import results

PAGE = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")


def test_every_command_is_described() -> None:
    section = PAGE.split("## Commands")[1].split("\n###")[0]
    described = set(re.findall(r"`results (\w+)", section))
    assert described == set(results.command.list_commands(None))  # type: ignore[arg-type]
