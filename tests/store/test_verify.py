"""``verify``: what it names, and what it does not mistake for damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.events import sample
from fakes.runs import TWO, FakeCell, run_of, stored
from mac_whisper_speedtest.results import digests, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store import verify
from mac_whisper_speedtest.summary.summarize import summarize

Change = Callable[[dict[str, Any]], None]


def edit(path: Path, change: Change) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def resealed(run: RunDirectory, change: Change) -> None:
    """Edit ``run.json`` and give it a digest that fits."""
    edit(run.sealed_path, change)
    digest = digests.of_run(run.sealed_path.read_bytes())
    edit(run.sealed_path, lambda content: content["digests"].update(run=digest))


def faster(content: dict[str, Any]) -> None:
    content["cells"][0]["summary"]["median_s"] /= 2


def test_nothing_is_wrong_with_a_run_as_it_was_sealed() -> None:
    assert verify.examine(stored()) == verify.Verification(())


def test_nothing_is_wrong_with_files_that_were_only_written_otherwise() -> None:
    run = stored()
    for path in (run.manifest_path, run.sealed_path):
        content = json.loads(path.read_bytes())
        path.write_text(json.dumps(content, sort_keys=True, indent=7), encoding="utf-8")
    lines = [json.loads(line) for line in run.journal_path.read_bytes().splitlines()]
    text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
    run.journal_path.write_text(text, encoding="utf-8")
    assert verify.verify(run) == []


def test_an_edited_figure_is_named_with_what_it_should_be() -> None:
    run = stored()
    edit(run.sealed_path, faster)
    digests, figures = verify.verify(run)
    assert digests.startswith("run.json has changed since it was sealed")
    assert "cells.0.summary.median_s is" in figures


def test_an_edited_figure_is_found_under_a_digest_that_was_made_to_fit() -> None:
    run = stored()
    resealed(run, faster)
    (problem,) = verify.verify(run)
    assert problem.startswith("the figures in run.json do not follow from its samples")


def test_figures_of_another_version_are_no_damage() -> None:
    run = stored()
    edit(run.manifest_path, lambda content: content["tool"].update(version="0.0.9"))
    run.seal(summarize(run.replay()))
    resealed(run, faster)
    found = verify.examine(run)
    assert found.problems == ()
    assert "computed by another version (0.0.9)" in found.remarks[0]


def test_an_edited_sample_in_the_seal_is_wrong_whatever_version_wrote_it() -> None:
    run = stored()
    edit(run.manifest_path, lambda content: content["tool"].update(version="0.0.9"))
    run.seal(summarize(run.replay()))
    resealed(run, lambda content: content["cells"][0]["samples"][1].update(text="other words"))
    (problem,) = verify.verify(run)
    assert "differs from the measurements" in problem
    assert "cells.0.samples.1.text" in problem


def test_an_edited_journal_is_named() -> None:
    run = stored()
    text = run.journal_path.read_text(encoding="utf-8")
    run.journal_path.write_text(text.replace("the best", "the rest", 1), encoding="utf-8")
    problems = verify.verify(run)
    assert problems[0].startswith("journal.jsonl has changed since it was sealed")
    assert "cells.1.samples.0.text" in problems[1]


def test_a_line_that_is_gone_from_the_journal_is_named() -> None:
    run = stored()
    lines = run.journal_path.read_bytes().splitlines(keepends=True)
    run.journal_path.write_bytes(b"".join(lines[:5] + lines[6:]))
    assert verify.verify(run)[0].startswith("journal.jsonl has changed")


def test_a_damaged_line_is_counted_and_costs_no_cell_its_status() -> None:
    run = stored(FakeCell("a", joules=3.0), passes=1)
    content = bytearray(run.journal_path.read_bytes())
    at = content.index(b'"kind":"timed"')
    content[at : at + 40] = bytes(40)
    run.journal_path.write_bytes(content)
    (cell,) = run.replay().cells
    assert (cell.status, len(cell.meters)) == ("ok", 2)  # though more was metered than is there
    assert "line 5 of the journal: damaged" in verify.verify(run)


def test_an_edited_manifest_is_named() -> None:
    run = stored()
    edit(run.manifest_path, lambda content: content["machine"].update(cpu="A better one"))
    problems = verify.verify(run)
    assert problems[0].startswith("manifest.json has changed since it was sealed")


def test_an_edited_request_no_longer_has_its_hash() -> None:
    run = stored(seal=False)
    edit(run.manifest_path, lambda content: content["request"].update(rounds=20))
    (problem,) = verify.verify(run)
    assert "its request does not have the recorded SHA-256" in problem


@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_a_file_that_is_gone_is_named(name: str) -> None:
    run = stored()
    (run.path / name).unlink()
    assert name in verify.verify(run)[0]


@pytest.mark.parametrize("name", ["manifest.json", "run.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\0" * 100, b"\xff\xfe"])
def test_a_file_of_rubbish_is_named(name: str, content: bytes) -> None:
    run = stored()
    (run.path / name).write_bytes(content)
    (problem,) = verify.verify(run)
    assert name in problem


def test_a_newer_seal_is_not_understood() -> None:
    run = stored()
    edit(run.sealed_path, lambda content: content.update(schema_version=99))
    (problem,) = verify.verify(run)
    assert "schema version 99" in problem


def test_a_run_that_was_not_sealed_is_no_damage() -> None:
    found = verify.examine(stored(seal=False))
    assert found.problems == ()
    assert "not sealed (recovered)" in found.remarks[0]


def test_a_run_that_is_being_written_is_no_damage() -> None:
    run = stored(seal=False)
    with Journal(run.journal_path):
        assert verify.examine(run) == verify.Verification((), ("it is being written",))


def test_a_run_that_was_taken_up_again_is_no_damage() -> None:
    run = stored()
    tool = s.ToolInfo(name="mac-whisper-speedtest", version="1", git_sha=None)
    with Journal(run.journal_path) as book:
        book.append(s.Resumed(at="2026-11-21T10:00:00+00:00", tool=tool))
        book.append(sample("a/tiny.en/speech", 5, 1.0, 1))
    found = verify.examine(run)
    assert found.problems == ()
    assert "resumed after sealing" in found.remarks[0]


def test_a_run_that_ended_before_its_first_line_is_no_damage() -> None:
    run = directory.create()
    run.write_manifest(run_of(*TWO, number=run.number).manifest)
    found = verify.examine(run)
    assert found.problems == ()
    assert "no journal.jsonl" in found.remarks[0]


def test_a_seal_without_digests_is_named() -> None:
    run = stored()
    edit(run.sealed_path, lambda content: content.pop("digests"))
    assert verify.verify(run) == ["run.json has no digests"]
