"""What a reader sees, from a run made by hand."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from mac_whisper_speedtest.export import files
from mac_whisper_speedtest.report import table
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.summarize import summarize


def cell(name: str, *, seconds: list[float], status: str = "ok", **changes: Any) -> s.CellResult:
    """A cell with one round of ``seconds``; the clip is 10 s long."""
    contract: dict[str, Any] = {"name": "greedy", "language": "en"}
    samples = [
        s.SampleResult(
            round=0,
            attempt=0,
            index=index,
            kind="timed",
            seconds=each,
            wall_s=changes.get("wall_s", each),
            text="to be or not to be",
            segments=[],
            language="en",
            tokens=None,
            cpu_s=None,
            peak_rss_bytes=300_000_000,
        )
        for index, each in enumerate(seconds)
    ]
    ending = s.EndingResult(
        round=0,
        attempt=0,
        status=status,
        stage="" if status == "ok" else "load",
        error_class="",
        message=changes.get("message", ""),
        log_tail="",
        exit_code=None,
    )
    return s.CellResult(
        id=name,
        backend=s.BackendResult(
            name=name, version="1.0", versions={}, device="cpu", precision="float32", details={}
        ),
        model=s.ModelResult(name="tiny.en", weights=None),
        clip=CLIP,
        contract=s.ContractResult(
            requested=contract,
            effective=contract,
            observed=[],
            deviations=changes.get("deviations", []),
            remarks=[],
        ),
        status=status,
        endings=[ending],
        loads=[],
        samples=samples,
    )


CLIP = s.ClipInfo(
    name="speech",
    seconds=10.0,
    samples=160000,
    pcm_sha256="0" * 64,
    source="made here",
    language="en",
    reference="to be or not to bee",
)


def run_of(*cells: s.CellResult, state: str = "complete") -> s.Run:
    request = s.RequestInfo(
        models=["tiny.en"],
        backends=[each.id for each in cells],
        clips=["speech"],
        contract={"name": "greedy", "language": "en"},
        rounds=1,
        passes=2,
        seed=0,
        threads=2,
        device="auto",
        precision="auto",
        max_time_s=60.0,
        timeout_s=None,
        retries=0,
        fail_fast=False,
        max_failures=None,
        max_memory_bytes=None,
        backends_named=True,
    )
    manifest = s.Manifest(
        schema_version=1,
        run=1,
        started_at="2026-01-01T00:00:00+00:00",
        tool=s.ToolInfo(name="t", version="1", git_sha=None),
        machine=msgspec.convert(
            dict.fromkeys(s.MachineInfo.__struct_fields__)
            | {"os": "", "os_version": "", "architecture": "", "python": "", "unknown": {}},
            s.MachineInfo,
        ),
        request=request,
        request_sha256="",
        libraries={},
        clips=[CLIP],
        cells=[],
        schedule=[],
        outcome=s.Outcome(state=state),
    )
    return summarize(s.Run(schema_version=1, manifest=manifest, cells=list(cells)))


def printed(run: s.Run, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    table.show_run(run, console=console, saved_as="7")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()[:1] in {"1", "2"}]


def test_the_quickest_comes_first_and_the_others_are_multiples_of_it() -> None:
    text = printed(run_of(cell("slow", seconds=[3.0, 3.0]), cell("quick", seconds=[2.0, 2.0])))
    first, second = rows(text)[:2]
    assert first[1] == "quick"
    assert second[1] == "slow"
    assert {"2.000", "5.00", "1.00"} <= set(first)
    assert {"3.000", "3.33", "1.50"} <= set(second)
    assert first[0] == second[0] == "1–2"  # one round says nothing of its spread
    assert "16.7%" in first  # one word of six


def test_a_narrow_terminal_gets_two_tables_and_loses_nothing() -> None:
    run = run_of(cell("faster-whisper", seconds=[3.0, 3.0]), cell("b", seconds=[2.0, 2.0]))
    narrow = printed(run, width=80)
    assert max(len(line) for line in narrow.splitlines()) <= 80
    for word in ("faster-whisper", "float32", "3.000", "16.7%", "spread", "first", "peak", "ok"):
        assert word in narrow


def test_a_failed_cell_stays_in_the_table_with_its_reason_below() -> None:
    text = printed(
        run_of(
            cell("good", seconds=[1.0, 1.0]),
            cell("bad", seconds=[], status="timeout", message="no answer after 60 s of load"),
        )
    )
    assert "timeout" in text
    assert "bad 1.0 float32: timeout in load: no answer after 60 s of load" in text


def test_a_deviation_and_a_lying_clock_are_flagged_and_explained() -> None:
    deviation = s.DeviationResult(setting="beam_size", requested=1, effective=5)
    text = printed(run_of(cell("odd", seconds=[0.1, 0.1], wall_s=1.1, deviations=[deviation])))
    assert "ok (contract, clock)" in text
    assert "odd 1.0 float32: contract: beam_size: 5 instead of 1" in text
    assert "odd 1.0 float32: clock: reports 0.100 s where 1.100 s passed" in text


def test_fewer_samples_than_asked_for_are_said() -> None:
    text = printed(run_of(cell("few", seconds=[1.0])))
    assert "few 1.0 float32: samples: 1 of 2 timed samples" in text


@pytest.mark.parametrize("state", ["interrupted", "recovered", "stopped"])
def test_a_run_that_did_not_end_by_itself_says_so(state: str) -> None:
    assert f"{state}: run 7" in printed(run_of(cell("a", seconds=[1.0, 1.0]), state=state))


def test_a_csv_field_cannot_become_a_formula() -> None:
    run = run_of(cell("=cmd()", seconds=[1.0, 1.0]), cell("b,\n c", seconds=[2.0, 2.0]))
    first, second = csv.DictReader(io.StringIO(files.to_csv(run)))
    assert first["backend"] == "'=cmd()"
    assert second["backend"] == "b,\n c"
    assert float(first["median_s"]) == 1.0
    assert first["load_s"] == ""
