"""The index: what it finds, what it notices, and what it does not believe."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.events import sample
from fakes.runs import FakeCell, stored
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.results import comparable, directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.store import database, entry, maintenance, rows, verify
from mac_whisper_speedtest.store.index import Index, open_index
from mac_whisper_speedtest.store.rows import CellRow, RunRow
from mac_whisper_speedtest.summary.figures import with_figures
from mac_whisper_speedtest.summary.summarize import summarize


@pytest.fixture
def index() -> Iterator[Index]:
    with open_index() as opened:
        yield opened


def path(data: Path) -> Path:
    return data / "index.sqlite"


@contextlib.contextmanager
def raw(where: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(where)
    with contextlib.closing(connection), connection:
        yield connection


def all_of(index: Index) -> tuple[list[RunRow], list[CellRow]]:
    return index.runs(), index.cells()


def test_the_newest_runs_are_read_where_there_is_no_time_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [stored() for _ in range(4)]
    clock = itertools.count()
    monkeypatch.setattr("mac_whisper_speedtest.store.index.time.monotonic", lambda: next(clock))
    with open_index(refresh=False) as index:
        index.refresh(within_s=2)
        assert [run.number for run in index.runs()] == [run.number for run in runs[2:]]
        index.refresh()
        assert [run.number for run in index.runs()] == [run.number for run in runs]


def test_a_run_that_ends_while_it_is_read_is_read_at_the_next_refresh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = stored(seal=False)
    figures = with_figures

    def meanwhile(read: directory.RunDirectory) -> s.Run:
        found = figures(read)
        monkeypatch.setattr(entry, "with_figures", figures)
        with journal.Journal(run.journal_path) as book:
            book.append(s.RunEnded(state="complete", message=""))
        return found

    monkeypatch.setattr(entry, "with_figures", meanwhile)
    with open_index() as index:
        assert [row.state for row in index.runs()] == ["recovered"]
        index.refresh()
        assert [row.state for row in index.runs()] == ["complete"]


def test_a_cells_row_has_the_figures_that_summarize_computes() -> None:
    run = stored(tags=["base"])
    with open_index() as index:
        row = index.cells(backend="b")[0]
    (expected,) = (cell for cell in summarize(run.replay()).cells if cell.backend.name == "b")
    summary = expected.summary
    assert summary is not None
    assert summary.accuracy is not None
    figures = row.cell.summary
    assert figures is not None
    for name in ("median_s", "min_s", "max_s", "rtfx", "wer", "peak_memory_bytes", "rank", "group"):
        assert getattr(figures, name) == getattr(summary, name), name
    assert figures.median_s is not None
    assert figures.accuracy is not None
    assert (figures.accuracy.cer, figures.accuracy.normalizer) == (
        summary.accuracy.cer,
        summary.accuracy.normalizer,
    )
    assert row.network_sha256 == comparable.network_sha256(expected.model.weights)
    backend = row.cell.backend
    assert (backend.versions, backend.device, row.cell.status) == ({"numpy": "2.4.6"}, "cpu", "ok")
    assert figures.fast_but_wrong is False


def test_every_flat_column_of_a_cell_is_a_column_of_the_table_with_the_same_value(
    data: Path,
) -> None:
    run = stored(rounds=6)
    with open_index():
        pass
    exported = list(CELLS.records([summarize(run.replay())]))
    with raw(path(data)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM cells ORDER BY place").fetchall()
    assert len(found) == len(exported) > 0
    for row, record in zip(found, exported, strict=True):
        kept = {column.name: record[column.name] for column in rows.FIGURES}
        assert kept == {name: row[name] for name in kept}
    assert {"rtfx_high", "joules_per_audio_hour", "accuracy_verdict"} < kept.keys()


def test_an_interval_is_in_the_row_where_there_are_rounds_enough(index: Index) -> None:
    stored(rounds=6)
    index.refresh()
    figures = index.cells()[0].cell.summary
    assert figures is not None
    assert figures.rtfx is not None
    assert figures.rtfx_bounds is not None
    assert figures.rtfx_bounds.low < figures.rtfx < figures.rtfx_bounds.high
    assert figures.rtfx_bounds.level == 0.95


def test_a_runs_row_says_what_it_was(index: Index) -> None:
    run = stored(
        FakeCell("a"),
        FakeCell("b"),
        FakeCell("a", model="base.en"),
        FakeCell("b", model="base.en"),
        tags=["base", "quiet"],
    )
    index.refresh()
    (row,) = index.runs()
    manifest = run.replay().manifest
    assert (row.number, row.state, row.sealed, row.directory) == (1, "complete", True, run)
    assert (row.tags, row.models, row.backends) == (
        ("base", "quiet"),
        ("tiny.en", "base.en"),
        ("a", "b"),
    )
    assert (row.cells, row.cells_ok, row.samples) == (4, 4, 4 * 2 * 3)
    assert row.comparable == comparable.comparable_part(manifest).key
    assert (row.run_id, row.request_sha256) == (manifest.run_id, manifest.request_sha256)
    assert row.contract == "greedy"


def test_runs_are_found_by_what_they_are(index: Index) -> None:
    stored(FakeCell("a"), tags=["base"])
    stored(FakeCell("a@1.2", model="small"), FakeCell("b", model="small"))
    stored(FakeCell("ab"), machine={"cpu": "Another"}, seal=False)
    index.refresh()

    def numbers(**asked: str) -> list[int]:
        return [row.number for row in index.runs(**asked)]

    assert numbers() == [1, 2, 3]
    assert numbers(tag="base") == [1]
    assert numbers(backend="a") == [1, 2]
    assert numbers(backend="a@1.2") == [2]
    assert numbers(model="small") == [2]
    assert numbers(backend="a", model="tiny.en") == [1]
    assert numbers(state="recovered") == [3]
    first, second, third = index.runs()
    assert first.comparable == second.comparable != third.comparable
    assert first.hardware == second.hardware != third.hardware
    assert numbers(tag="no such") == numbers(backend="%") == []
    assert [(row.number, row.cell.id) for row in index.cells(backend="a")] == [
        (1, "a/tiny.en/speech"),
        (2, "a@1.2/small/speech"),
    ]


def test_only_runs_that_changed_are_read_again(index: Index) -> None:
    stored()
    second = stored()
    assert index.refresh().read == 2
    assert (index.refresh().read, index.refresh().unchanged) == (0, 2)
    with journal.Journal(second.journal_path) as book:
        book.append(sample("a/tiny.en/speech", 0, 1.0, 7))
    assert (index.refresh().read, index.runs()[1].samples) == (1, 2 * 2 * 3 + 1)


def test_a_copied_run_is_not_computed_again_but_its_new_times_are_kept(index: Index) -> None:
    run = stored()
    index.refresh()
    os.utime(run.journal_path, ns=(1, 1))
    assert index.refresh().read == 0
    run.manifest_path.write_bytes(run.manifest_path.read_bytes().replace(b"speech", b"Speech"))
    assert index.refresh().read == 1


def test_a_run_that_went_on_is_seen_to_have_ended_though_no_file_changed(index: Index) -> None:
    run = stored(seal=False)
    with journal.Journal(run.journal_path):
        index.refresh()
        assert index.runs()[0].state == "running"
    index.refresh()
    assert index.runs()[0].state == "recovered"


def test_a_seal_is_noticed_without_reading_the_run(index: Index) -> None:
    run = stored()
    content = run.sealed_path.read_bytes()
    run.sealed_path.unlink()
    index.refresh()
    assert not index.runs()[0].sealed
    run.sealed_path.write_bytes(content)
    assert index.refresh().read == 0
    assert index.runs()[0].sealed


def test_a_removed_run_goes_with_its_cells_and_tags(index: Index) -> None:
    run = stored(tags=["base"])
    index.refresh()
    maintenance.remove(run)
    assert index.refresh().gone == 1
    assert (index.runs(), index.cells(), index.runs(tag="base")) == ([], [], [])


def test_a_run_that_cannot_be_read_is_listed_with_the_reason_and_not_read_every_time(
    index: Index,
) -> None:
    run = stored()
    run.manifest_path.write_bytes(b'{"schema_version": 99}')
    stored()
    index.refresh()
    row, other = index.runs()
    assert (row.state, other.state) == ("unreadable", "complete")
    assert "manifest.json" in row.message
    assert index.refresh().read == 0


def test_a_run_whose_files_do_not_fit_together_does_not_hide_the_others(index: Index) -> None:
    run = stored()
    stored()
    text = run.manifest_path.read_text(encoding="utf-8")
    run.manifest_path.write_text(text.replace('"clip": "speech"', '"clip": "x"'), encoding="utf-8")
    index.refresh()
    assert [row.state for row in index.runs()] == ["unreadable", "complete"]
    assert "it has no clip 'x'" in index.runs()[0].message
    assert "it has no clip 'x'" in verify.verify(run)[0]


def test_a_newer_run_says_that_a_newer_tool_is_needed(index: Index) -> None:
    run = stored()
    text = run.manifest_path.read_text(encoding="utf-8")
    run.manifest_path.write_text(
        text.replace(f'"schema_version": {s.SCHEMA_VERSION}', '"schema_version": 99'),
        encoding="utf-8",
    )
    index.refresh()
    assert "schema version 99" in index.runs()[0].message


def test_the_rebuilt_index_is_the_same_index(data: Path) -> None:
    for seed in range(3):
        stored(seed=seed, tags=["base"])
    with open_index() as index:
        before = all_of(index)
    path(data).unlink()
    with open_index() as index:
        assert all_of(index) == before


def test_a_forced_refresh_puts_right_what_was_written_over(data: Path, index: Index) -> None:
    stored()
    index.refresh()
    before = all_of(index)
    with raw(path(data)) as connection:
        connection.execute(
            "UPDATE cells SET content = json_set(content, '$.summary.median_s', 0.001)"
        )
    assert all_of(index) != before
    index.refresh(everything=True)
    assert all_of(index) == before


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough" * 200])
def test_what_is_no_database_is_set_aside_with_a_word(data: Path, damage: bytes) -> None:
    stored()
    path(data).write_bytes(damage)
    messages: list[str] = []
    with open_index(messages.append) as index:
        assert [row.number for row in index.runs()] == [1]
    aside = path(data).with_name("index.sqlite.set-aside")
    assert bool(messages) == aside.exists() == bool(damage)  # an empty file is an empty database
    if damage:
        assert "is rebuilt from the runs" in messages[0]
        assert aside.read_bytes() == damage


def test_a_database_of_another_program_is_never_read(data: Path) -> None:
    stored()
    with raw(path(data)) as connection:
        connection.execute("CREATE TABLE runs (number INTEGER)")
        connection.execute("INSERT INTO runs VALUES (77)")
    messages: list[str] = []
    with open_index(messages.append) as index:
        assert [row.number for row in index.runs()] == [1]
    assert "not created by this program" in messages[0]


def test_an_index_of_another_version_is_rebuilt(data: Path) -> None:
    stored()
    with open_index():
        pass
    with raw(path(data)) as connection:
        connection.execute("DROP TABLE cells")
        connection.execute("CREATE TABLE cells (number INTEGER, something_new TEXT)")
        connection.execute(f"PRAGMA user_version = {rows.VERSION + 1}")
    with open_index() as index:
        assert len(index.cells()) == 2


@pytest.mark.parametrize("table", ["cells", "runs", "files", "tags"])
def test_a_table_that_is_gone_comes_back(data: Path, table: str) -> None:
    stored(tags=["base"])
    with open_index():
        pass
    with raw(path(data)) as connection:
        connection.execute(f"DROP TABLE {table}")
    messages: list[str] = []
    with open_index(messages.append) as index:
        assert [row.tags for row in index.runs(tag="base")] == [("base",)]
        assert len(index.cells()) == 2
    assert messages


def test_a_table_that_is_no_text_any_more_is_set_aside(data: Path) -> None:
    stored(tags=["base"])
    with open_index():
        pass
    content = path(data).read_bytes()
    assert b"AS (json_extract" in content
    path(data).write_bytes(content.replace(b"AS (json_extract", b") " + b"\xff " * 7))
    messages: list[str] = []
    with open_index(messages.append) as index:
        assert [row.tags for row in index.runs(tag="base")] == [("base",)]
        assert len(index.cells()) == 2
    assert "damaged" in messages[0]


def test_pages_of_rubbish_in_the_middle_are_found_at_the_latest_by_reindex(data: Path) -> None:
    for seed in range(5):
        stored(seed=seed)
    with open_index() as index:
        before = all_of(index)
    content = bytearray(path(data).read_bytes())
    for start in range(8192, len(content) - 4096, 8192):
        content[start : start + 4096] = os.urandom(4096)
    path(data).write_bytes(content)
    messages: list[str] = []
    with open_index(messages.append, refresh=False) as index:
        if damage := index.check():
            index.recreate(damage)
        index.refresh(everything=True)
        assert all_of(index) == before
    assert messages


def test_damage_that_shows_in_a_question_costs_one_reading_and_no_row(data: Path) -> None:
    stored()
    with open_index() as index:
        before = all_of(index)
        with raw(path(data)) as connection:
            connection.execute("UPDATE cells SET content = '{}'")
        assert all_of(index) == before


def test_a_failed_write_leaves_the_run_as_it_was(data: Path, index: Index) -> None:
    run = stored()
    index.refresh()
    before = all_of(index)
    with raw(path(data)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON cells WHEN NEW.place = 1 "
            "BEGIN SELECT RAISE(ABORT, 'no more'); END"
        )
    with journal.Journal(run.journal_path) as book:
        book.append(sample("a/tiny.en/speech", 0, 1.0, 7))
    with pytest.raises(StorageError, match="no more"):
        index.refresh()
    assert all_of(index) == before


def test_a_place_that_cannot_be_written_means_an_index_in_memory(data: Path) -> None:
    stored(tags=["base"])
    path(data).mkdir()
    messages: list[str] = []
    with open_index(messages.append) as index:
        assert index.path is None
        assert len(index.runs(tag="base")) == 1
    assert "only in memory" in messages[0]


def test_an_index_that_may_only_be_read_does_not_keep_runs_from_being_listed(data: Path) -> None:
    stored()
    with open_index():
        pass
    stored()
    with raw(path(data)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Index(sqlite3.connect(f"{path(data).as_uri()}?mode=ro", uri=True), path(data)) as index:
        with pytest.raises(StorageError, match="readonly"):
            index.refresh()
        assert len(index.runs()) == 1


def test_a_busy_index_is_waited_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored()
    with open_index():
        pass
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    stored()
    messages: list[str] = []
    with raw(path(data)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with open_index(
            messages.append
        ) as index:  # not written: it is built in memory, and complete
            assert len(index.runs()) == 2
    assert "locked" in messages[0]
    with open_index() as index:
        assert len(index.runs()) == 2
        assert index.path == path(data)


def test_without_any_run_the_index_is_empty_and_makes_no_run_folder(data: Path) -> None:
    with open_index() as index:
        assert all_of(index) == ([], [])
    assert not directory.runs_dir().exists()
