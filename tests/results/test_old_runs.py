"""Runs that older versions of the schema wrote: later tools find in them what those found.

``tests/fixtures/runs/v1`` was measured by the last commit with schema version 1, on a busy machine
of two cores: its times say nothing. Only the name of the machine's kernel was replaced. The
recording is a file of the user's that ends before its reference does. ``v2`` was measured by the
last commit with version 2 on such a machine, on the clip ``short``; there the commit was taken out
too.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import Call
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.summarize import summarize

RUNS = Path(__file__).parents[1] / "fixtures" / "runs"
V1 = RUNS / "v1"
V2 = RUNS / "v2"

MEASURED = "faster-whisper/tiny.en/two-cities.wav"
SAID = (
    " It was the best of times, it was the worst of times. It was the age of wisdom, it was the age"
    " of foolishness. It was the epoch of belief, it was the epoch of the Thank you."
)
SEALED = {
    "rank": 1,
    "timed_samples": 2,
    "timed_samples_asked": 2,
    "rounds_ok": 2,
    "rounds_asked": 2,
    "retries": 0,
    "median_s": 38.67766009200204,
    "min_s": 25.720113098999718,
    "max_s": 51.63520708500437,
    "rtfx": 0.3180130331240864,
    "times_best": 1.0,
    "import_s": 8.903194700502354,
    "load_s": 4.115163782000309,
    "first_s": 45.121611539001606,
    "peak_rss_bytes": 371982336,
    "wer": 6 / 42,
}
"""What version 1 computed and sealed of the cell that it measured."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy: looking at a run may seal it."""
    return shutil.copytree(V1, tmp_path / "v1")


@pytest.fixture
def shown(old: Path) -> s.Run:
    """The run as the present tool sees it."""
    return summarize(directory.find(str(old)).replay())


def test_the_run_is_as_version_1_wrote_it(shown: s.Run) -> None:
    # What version 2 has added is not in the files, so nobody has made them anew by mistake.
    written = (V1 / "manifest.json").read_text(encoding="utf-8")
    assert "ci_width" not in written
    assert json.loads(written)["schema_version"] == 1
    assert "utterance" not in (V1 / "journal.jsonl").read_text(encoding="utf-8")
    assert shown.manifest.schema_version == 1
    assert shown.schema_version == s.SCHEMA_VERSION


def test_every_figure_of_version_1_comes_out_the_same(shown: s.Run) -> None:
    summary = shown.cells[0].summary
    assert shown.cells[0].id == MEASURED
    assert summary is not None
    assert {name: getattr(summary, name) for name in SEALED} == pytest.approx(SEALED, rel=1e-9)
    assert summary.group == "A"
    assert summary.findings == []


def test_the_texts_are_those_that_were_written_down(shown: s.Run) -> None:
    assert [sample.text for sample in shown.cells[0].samples] == [SAID] * 4
    assert [sample.kind for sample in shown.cells[0].samples] == ["warmup", "timed"] * 2
    assert [segment.end_s for segment in shown.cells[0].samples[1].segments] == [
        5.0,
        9.0,
        11.96,
        12.96,
    ]


def test_the_errors_behind_the_old_rate_are_found(shown: s.Run) -> None:
    summary = shown.cells[0].summary
    assert summary is not None
    found = summary.accuracy
    assert found is not None
    assert (found.metric, found.reference_words, found.failed) == ("wer", 42, 0)
    # "incredulity, it was the season of Light" became "the Thank you".
    assert (found.substitutions, found.deletions, found.insertions) == (2, 4, 0)


def test_what_version_1_did_not_record_is_not_known(shown: s.Run) -> None:
    cell = shown.cells[0]
    assert cell.summary is not None
    assert (cell.summary.rtfx_bounds, cell.summary.joules_per_audio_hour) == (None, None)
    assert cell.summary.cores_used is None
    assert all(sample.outside_cpu_s is None for sample in cell.samples)
    assert (shown.rounds, shown.decisions, shown.manifest.noise) == ([], [], None)


def test_a_cell_that_could_not_be_measured_still_says_why(shown: s.Run) -> None:
    cell = shown.cells[1]
    assert cell.status == "unavailable"
    assert [ending.error_class for ending in cell.endings] == ["Unavailable"] * 2
    assert cell.summary is not None
    assert (cell.summary.rank, cell.summary.median_s, cell.summary.wer) == (None, None, None)


def test_a_cell_that_was_cut_off_keeps_the_figures_of_what_it_did_measure(old: Path) -> None:
    lines = (old / "journal.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (cut,) = (at for at, line in enumerate(lines) if "worker_ended" in line and '"round":1' in line)
    (old / "journal.jsonl").write_text("".join(lines[:cut]), encoding="utf-8")
    cell = summarize(directory.find(str(old)).replay()).cells[0]
    assert cell.summary is not None
    assert (cell.status, cell.summary.rank) == ("skipped", None)
    # As version 1 did: it sealed the same median and rate.
    assert cell.summary.median_s == pytest.approx(SEALED["median_s"])
    assert cell.summary.wer == pytest.approx(SEALED["wer"])


def test_it_is_sealed_once_more_as_a_run_of_the_present_version(old: Path, speedtest: Call) -> None:
    answer = speedtest("show", old, "--json")
    assert answer.code == 0
    sealed = json.loads((old / "run.json").read_text(encoding="utf-8"))
    assert sealed.pop("digests") is not None
    shown = answer.json
    assert shown.pop("digests") is None
    assert sealed == shown
    assert sealed["schema_version"] == s.SCHEMA_VERSION


SEALED_BY_2 = {
    "faster-whisper/tiny.en/short": {
        "rank": 1,
        "rank_last": 1,
        "timed_samples": 6,
        "timed_samples_asked": 12,
        "rounds_ok": 6,
        "median_s": 2.1554810964953504,
        "min_s": 2.0370360350061674,
        "max_s": 2.5912994729951606,
        "rtfx": 5.706382681805409,
        "times_best": 1.0,
        "import_s": 2.2767538329972012,
        "load_s": 1.4634314184986579,
        "first_s": 2.72073911050029,
        "first_segment_s": 2.155127962498227,
        "peak_rss_bytes": 373460992,
        "cores_used": 1.950330064479331,
        "wer": 0.0,
    },
    "whisper.cpp/tiny.en/short": {
        "rank": 2,
        "rank_last": 2,
        "timed_samples": 5,
        "timed_samples_asked": 12,
        "rounds_ok": 5,
        "median_s": 4.868704943000921,
        "rtfx": 2.526339169039612,
        "times_best": 2.2587555747610444,
        "load_s": 0.5506201169991982,
        "peak_rss_bytes": 199684096,
        "cores_used": 1.9421443433549974,
        "wer": 0.0,
    },
}
"""What version 2 computed and sealed."""


@pytest.fixture
def second(tmp_path: Path) -> s.Run:
    """The run of version 2 as the present tool sees it."""
    copy = shutil.copytree(V2, tmp_path / "v2")
    return summarize(directory.find(str(copy)).replay())


def test_the_second_run_is_as_version_2_wrote_it(second: s.Run) -> None:
    assert (second.manifest.schema_version, second.manifest.run_id) == (2, "")
    assert "run_id" not in (V2 / "manifest.json").read_text(encoding="utf-8")
    assert "at_s" not in (V2 / "journal.jsonl").read_text(encoding="utf-8")


def test_every_figure_of_version_2_comes_out_the_same(second: s.Run) -> None:
    assert [cell.id for cell in second.cells] == list(SEALED_BY_2)
    for cell in second.cells:
        summary = cell.summary
        assert summary is not None
        wanted = SEALED_BY_2[cell.id]
        assert {name: getattr(summary, name) for name in wanted} == pytest.approx(wanted, rel=1e-9)
        assert [finding.kind for finding in summary.findings] == ["samples"]


def test_the_intervals_and_the_verdict_of_version_2_come_out_the_same(second: s.Run) -> None:
    first, other = (cell.summary for cell in second.cells)
    assert first is not None
    assert other is not None
    assert first.rtfx_bounds is not None
    assert other.times_best_bounds is not None
    assert other.rtfx_bounds is None
    assert (first.rtfx_bounds.low, first.rtfx_bounds.high) == pytest.approx(
        (4.746653224832794, 6.038184788401527), rel=1e-9
    )
    assert (other.times_best_bounds.low, other.times_best_bounds.high) == pytest.approx(
        (1.6758432266145116, 2.7897517777160137), rel=1e-9
    )
    assert (other.verdict, other.group) == ("SLOWER", "A")


def test_the_accuracy_of_version_2_comes_out_the_same(second: s.Run) -> None:
    summary = second.cells[1].summary
    assert summary is not None
    assert summary.accuracy is not None
    assert (summary.accuracy.hits, summary.accuracy.verdict) == (36, "as good")
    assert summary.accuracy.against == "faster-whisper/tiny.en/short"


@pytest.mark.parametrize("golden", sorted(RUNS.iterdir()), ids=lambda path: path.name)
def test_no_old_run_names_a_machine_or_a_folder(golden: Path) -> None:
    for path in golden.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not [word for word in ("/home/", "/Users/", "/tmp/", "/root/") if word in text]


def test_there_is_an_old_run_of_every_older_version() -> None:
    assert sorted(path.name for path in RUNS.iterdir()) == [
        f"v{number}" for number in range(1, s.SCHEMA_VERSION)
    ]
