"""Whatever stands in one cell's journal lines: the run has figures, and the others keep theirs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from fakes.runs import FakeCell, run_of, stored
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import summary_of
from mac_whisper_speedtest.summary.summarize import summarize

CELLS = (FakeCell("a"), FakeCell("b", rtf=0.2), FakeCell("c", rtf=0.3))


def with_sample(text: str, **changes: Any) -> s.Run:
    """A run in which the last cell's first timed sample has ``text`` in place of a number."""
    run = stored(*CELLS, rounds=3, seal=True)
    lines = run.journal_path.read_text(encoding="utf-8").splitlines()
    at = next(
        number
        for number, line in enumerate(lines)
        if '"event":"sample"' in line and '"cell":"c/' in line and '"timed"' in line
    )
    line = json.loads(lines[at]) | changes
    lines[at] = json.dumps(line).replace('"@"', text)
    run.journal_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return summarize(run.replay())


@pytest.mark.parametrize("field", ["seconds", "wall_s", "tokens", "cpu_s", "peak_rss_bytes"])
@pytest.mark.parametrize(
    "text", ["-1", "1.7e308", "1e999", "9" * 400, '"fast"', "[]", "{}", "[" * 1000 + "]" * 1000]
)
def test_an_impossible_number_costs_its_own_cell_only(field: str, text: str) -> None:
    plain = summarize(stored(*CELLS, rounds=3).replay())
    found = with_sample(text, **{field: "@"})
    assert [cell.status for cell in found.cells] == ["ok", "ok", "protocol_violation"]
    assert [summary_of(cell).rank for cell in found.cells] == [1, 2, None]
    for cell, other in zip(found.cells[:2], plain.cells[:2], strict=True):
        # Their level depends on how many cells are ranked.
        mine, theirs = (
            msgspec.structs.replace(summary_of(each), times_best_bounds=None, detectable=None)
            for each in (cell, other)
        )
        assert mine == theirs
    (ending,) = [each for each in found.cells[2].endings if each.status != "ok"]
    assert ending.error_class == "JournalLine"
    assert ending.message.startswith("line ")


@pytest.mark.parametrize("seconds", ["0", "-0.0", "5e-324"])
def test_a_sample_that_took_no_time_is_impossible(seconds: str) -> None:
    found = with_sample(seconds, seconds="@")
    assert found.cells[2].status == "protocol_violation"
    assert "10 s of audio in" in found.cells[2].endings[-1].message


def test_a_cell_whose_figures_cannot_be_computed_has_failed_and_says_why() -> None:
    run = run_of(*CELLS, rounds=3).run
    nothing = [msgspec.structs.replace(each, seconds=0.0) for each in run.cells[1].samples]
    broken = msgspec.structs.replace(run.cells[1], samples=nothing)
    found = summarize(msgspec.structs.replace(run, cells=[run.cells[0], broken, run.cells[2]]))
    assert [cell.status for cell in found.cells] == ["ok", "failed", "ok"]
    assert found.cells[1].endings[-1].message.startswith("its figures cannot be computed: ")
    assert summary_of(found.cells[1]).median_s is None
    assert found.cells[1].samples == nothing
    alone = summarize(msgspec.structs.replace(run, cells=[run.cells[0], run.cells[2]]))
    assert [found.cells[0], found.cells[2]] == alone.cells
