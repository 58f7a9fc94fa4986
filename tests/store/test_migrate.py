"""``migrate``: older runs are sealed anew; facts are never touched, and nothing is covered up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fakes.events import sample
from fakes.runs import stored
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store import maintenance, verify

RUNS = Path(__file__).parents[1] / "fixtures" / "runs"


def facts(run: RunDirectory) -> tuple[bytes, bytes]:
    return run.manifest_path.read_bytes(), run.journal_path.read_bytes()


def migrated(run: RunDirectory) -> maintenance.Migration:
    found = maintenance.plan(run)
    maintenance.carry_out(found)
    return found


@pytest.mark.parametrize("golden", sorted(RUNS.iterdir()), ids=lambda path: path.name)
def test_a_run_of_every_older_version_is_sealed_as_one_of_the_present(
    golden: Path, tmp_path: Path
) -> None:
    run = RunDirectory(shutil.copytree(golden, tmp_path / "old"))
    before = facts(run)
    assert migrated(run).why == "it is not sealed"
    assert facts(run) == before
    sealed = json.loads(run.sealed_path.read_bytes())
    assert sealed["schema_version"] == s.SCHEMA_VERSION
    assert sealed["digests"] is not None
    assert verify.examine(run) == verify.Verification(())


def test_what_is_as_it_should_be_is_not_written_again() -> None:
    run = stored()
    written = run.sealed_path.stat().st_ino
    found = migrated(run)
    assert (found.why, found.sealed, found.refused) == ("", None, "")
    assert run.sealed_path.stat().st_ino == written


def test_migrating_twice_is_migrating_once() -> None:
    run = stored(seal=False)
    migrated(run)
    once = run.sealed_path.read_bytes()
    assert migrated(run).sealed is None
    assert run.sealed_path.read_bytes() == once


def test_a_plan_writes_nothing() -> None:
    run = stored(seal=False)
    assert maintenance.plan(run).sealed is not None
    assert not run.sealed_path.exists()


def test_a_seal_of_an_older_version_is_renewed() -> None:
    run = stored()
    content = json.loads(run.sealed_path.read_bytes())
    del content["digests"]
    content["schema_version"] = 2
    run.sealed_path.write_text(json.dumps(content), encoding="utf-8")
    assert migrated(run).why == "it was sealed by schema version 2"
    assert verify.examine(run) == verify.Verification(())


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": "three"}'])
def test_a_damaged_seal_is_made_anew_from_the_facts(content: bytes) -> None:
    run = stored()
    before = run.sealed_path.read_bytes()
    run.sealed_path.write_bytes(content)
    assert migrated(run).why
    assert run.sealed_path.read_bytes() == before


def test_facts_that_changed_since_the_seal_are_not_sealed_over() -> None:
    run = stored()
    text = run.journal_path.read_text(encoding="utf-8")
    run.journal_path.write_text(text.replace("the best", "the rest", 1), encoding="utf-8")
    before = run.sealed_path.read_bytes()
    assert "has changed since it was sealed" in migrated(run).refused
    assert run.sealed_path.read_bytes() == before


def test_a_run_that_was_taken_up_again_and_ended_is_sealed_again() -> None:
    run = stored()
    tool = s.ToolInfo(name="mac-whisper-speedtest", version="1", git_sha=None)
    with Journal(run.journal_path) as book:
        book.append(s.Resumed(at="2026-11-21T10:00:00+00:00", tool=tool))
        book.append(sample("a/tiny.en/speech", 5, 1.0, 1))
        book.append(s.RunEnded(state="complete"))
    assert migrated(run).refused == ""
    assert verify.examine(run) == verify.Verification(())


@pytest.mark.parametrize("name", ["manifest.json", "run.json"])
def test_a_newer_version_is_left_alone(name: str) -> None:
    run = stored()
    path = run.path / name
    text = path.read_text(encoding="utf-8")
    version = f'"schema_version": {s.SCHEMA_VERSION}'
    path.write_text(text.replace(version, '"schema_version": 99', 1), encoding="utf-8")
    before = run.sealed_path.read_bytes()
    assert "schema version 99" in migrated(run).refused
    assert run.sealed_path.read_bytes() == before


def test_a_run_that_is_being_written_is_left_alone() -> None:
    run = stored(seal=False)
    with Journal(run.journal_path):
        assert "being written" in migrated(run).refused
    assert not run.sealed_path.exists()
