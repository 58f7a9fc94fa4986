"""Removing runs and leftovers: only the intended files, and never files that are being written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fakes.runs import TWO, run_of, stored
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store import maintenance
from mac_whisper_speedtest.store.index import open_index

LATER_S = 2 * maintenance.MINIMUM_AGE_S


def left(later_s: float = LATER_S) -> dict[str, str]:
    """Name → what it is, of what would go ``later_s`` from now."""
    return {item.path.name: item.what for item in maintenance.leftovers(time.time() + later_s)}


def test_a_removed_run_is_gone_and_its_number_with_it() -> None:
    stored()
    run = stored()
    size = sum(path.stat().st_size for path in run.path.iterdir())
    assert maintenance.remove(run) == size
    assert [each.number for each in directory.every()] == [1]
    assert directory.create().number == 3
    assert left() == {"000003": "a run without a manifest: the tool was killed at its start"}


def test_a_run_that_is_being_written_is_not_removed() -> None:
    run = stored(seal=False)
    with Journal(run.journal_path):
        for act in (maintenance.require_removable, maintenance.remove):
            with pytest.raises(UsageError, match="run 1 is being written"):
                act(run)
    assert run.journal_path.exists()


def test_a_run_outside_of_the_data_folder_is_not_removed(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "copy")
    run.write_manifest(run_of(*TWO).manifest)
    with pytest.raises(UsageError, match="not in the data folder"):
        maintenance.remove(run)
    assert run.manifest_path.exists()


def test_a_link_to_a_run_elsewhere_is_not_followed(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "copy")
    run.write_manifest(run_of(*TWO).manifest)
    stored()
    link = directory.runs_dir() / "000002"
    link.symlink_to(run.path)
    with pytest.raises(UsageError, match="not in the data folder"):
        maintenance.remove(RunDirectory(link))
    assert run.manifest_path.exists()


def test_a_removal_that_was_cut_off_is_finished_by_gc() -> None:
    run = stored()
    trash = maintenance.hide(run.path)
    assert directory.every() == []
    (item,) = maintenance.leftovers()
    assert item.path == trash
    assert item.size_bytes > 1000
    maintenance.remove_leftover(item)
    assert left() == {}
    assert not trash.exists()


def test_a_whole_run_is_never_a_leftover() -> None:
    stored()
    stored(seal=False)
    with open_index():
        assert left() == {}


def test_files_that_were_not_written_to_their_end_are_leftovers_and_the_run_stays() -> None:
    run = stored()
    temporary = run.path / ".run.json.abc123"
    temporary.write_bytes(b"x" * 100)
    (item,) = maintenance.leftovers(time.time() + LATER_S)
    assert (item.path, item.size_bytes) == (temporary, 100)
    maintenance.remove_leftover(item)
    assert left() == {}
    assert run.sealed_path.exists()


def test_a_folder_without_a_manifest_is_a_leftover_and_its_number_is_not_given_again() -> None:
    run = directory.create()
    assert set(left()) == {run.path.name}
    for item in maintenance.leftovers(time.time() + LATER_S):
        maintenance.remove_leftover(item)
    assert not run.path.exists()
    assert directory.create().number == run.number + 1


def test_what_was_touched_within_the_hour_stays() -> None:
    directory.create()
    (stored().path / ".run.json.abc123").touch()
    assert left(later_s=maintenance.MINIMUM_AGE_S - 60) == {}
    assert len(left()) == 2


def test_what_is_being_written_stays() -> None:
    run = directory.create()
    with Journal(run.journal_path):
        assert left() == {}
    assert len(left()) == 1


def test_a_staging_folder_of_a_killed_tool_is_a_leftover_and_other_peoples_files_are_not() -> None:
    root = directory.runs_dir()
    for name in (".000007.abcdef", ".import"):
        (root / name).mkdir(parents=True)
    for name in (".DS_Store", "notes.txt", ".last-000003", ".hidden.folder", ".import.lock"):
        (root / name).touch()
    assert set(left()) == {".000007.abcdef", ".import"}


def test_an_index_that_was_set_aside_is_a_leftover(data: Path) -> None:
    stored()
    (data / "index.sqlite").write_bytes(b"rubbish" * 1000)
    with open_index():
        pass
    assert left(0.0) == {"index.sqlite.set-aside": "an unusable index"}
    for item in maintenance.leftovers():
        maintenance.remove_leftover(item)
    assert left() == {}


def test_without_a_data_folder_there_is_nothing_to_remove() -> None:
    assert maintenance.leftovers() == []


def test_removing_what_is_gone_already_is_no_error() -> None:
    run = stored()
    temporary = run.path / ".run.json.abc123"
    temporary.touch()
    (item,) = maintenance.leftovers(time.time() + LATER_S)
    temporary.unlink()
    maintenance.remove_leftover(item)
