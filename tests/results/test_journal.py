"""The journal: whole lines in, whole lines out, whatever happened in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import journal
from mac_whisper_speedtest.results import schema as s


def started(number: int) -> s.WorkerStarted:
    return s.WorkerStarted(cell="a/tiny.en/short", round=number, attempt=0)


def written(path: Path, count: int = 3) -> Path:
    with journal.Journal(path) as book:
        for number in range(count):
            book.append(started(number))
    return path


def test_events_come_back_as_they_went_in(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    assert journal.read(path) == ([started(0), started(1), started(2)], 0)


def test_a_line_is_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    with journal.Journal(tmp_path / "j") as book:
        book.append(started(0))
        assert journal.read(tmp_path / "j") == ([started(0)], 0)


def test_a_last_line_without_its_end_is_left_out_without_a_word(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    path.write_bytes(path.read_bytes()[:-10])
    assert journal.read(path) == ([started(0), started(1)], 0)


def test_a_hole_in_the_middle_is_counted_and_what_follows_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0" * (len(second) - 1) + b"\n" + third)
    assert journal.read(path) == ([started(0), started(2)], 1)


def test_a_line_that_is_json_but_no_event_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = written(tmp_path / "j", count=1)
    with path.open("ab") as stream:
        stream.write(b'{"event": "miracle"}\n')
    with pytest.raises(StorageError, match="line 2"):
        journal.read(path)


def test_whether_it_is_being_written_is_known_while_it_is_and_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert not journal.is_being_written(path)
    with journal.Journal(path):
        assert journal.is_being_written(path)
    assert not journal.is_being_written(path)
