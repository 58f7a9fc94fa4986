"""The journal: whole lines in, whole lines out, whatever happened in between."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import journal
from mac_whisper_speedtest.results import schema as s


def started(number: int) -> s.WorkerStarted:
    return s.WorkerStarted(cell="a/tiny.en/short", round=number, attempt=0)


def read(path: Path) -> tuple[list[s.Event], dict[str, journal.UnusableLines]]:
    found = journal.read_journal(path)
    events: list[s.Event] = [e for e in found.events if not isinstance(e, s.RoundSkipped)]
    return events, found.unusable


def written(path: Path, count: int = 3) -> Path:
    with journal.Journal(path) as book:
        for number in range(count):
            book.append(started(number))
    return path


def test_events_come_back_as_they_went_in(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    assert read(path) == ([started(0), started(1), started(2)], {})


def test_a_line_is_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    with journal.Journal(tmp_path / "j") as book:
        book.append(started(0))
        assert read(tmp_path / "j") == ([started(0)], {})


def test_a_last_line_without_its_end_is_left_out_without_a_word(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    path.write_bytes(path.read_bytes()[:-10])
    assert read(path) == ([started(0), started(1)], {})


def test_a_hole_in_the_middle_is_counted_and_what_follows_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path / "j")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\0" * (len(second) - 1) + b"\n" + third)
    damaged = journal.UnusableLines(1, 2, 0, "damaged")
    assert read(path) == ([started(0), started(2)], {"": damaged})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"event": "miracle"}, "Invalid value 'miracle' - at `$.event`"),
        ({"at_s": "noon"}, "Expected `float | null`, got `str` - at `$.at_s`"),
        ({"at_s": -1}, "Expected `float` >= 0.0 - at `$.at_s`"),
        ({"round": None}, "Expected `int`, got `null` - at `$.round`"),
        ({"deep": json.loads("[" * 100 + "]" * 100)}, "is nested deeper than 64 levels"),
    ],
)
def test_lines_that_are_no_event_are_left_out_and_their_cell_is_named(
    tmp_path: Path, line: dict[str, object], why: str
) -> None:
    path = written(tmp_path / "j", count=1)
    bad = json.dumps({**msgspec.to_builtins(started(7)), **line}).encode() + b"\n"
    path.write_bytes(path.read_bytes() + bad + bad + path.read_bytes())
    events, unusable = read(path)
    assert events == [started(0), started(0)]
    (lines,) = unusable.values()
    assert list(unusable) == ["a/tiny.en/short"]
    assert (lines.count, lines.number, lines.round) == (2, 2, 0 if "round" in line else 7)
    (violation,) = (e for e in journal.read_journal(path).events if isinstance(e, s.RoundSkipped))
    assert (violation.cell, violation.status) == ("a/tiny.en/short", "protocol_violation")
    assert str(lines) == f"line 2 of the journal: no event: {why} (and 1 more)"


def test_whether_it_is_being_written_is_known_while_it_is_and_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert not journal.is_being_written(path)
    with journal.Journal(path):
        assert journal.is_being_written(path)
    assert not journal.is_being_written(path)


class Clock:
    """A clock that shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_every_line_says_how_long_after_the_opening_it_was_written(tmp_path: Path) -> None:
    clock = Clock()
    with journal.Journal(tmp_path / "j", clock) as book:
        book.append(started(0))
        clock.now += 1.25
        book.append(started(1))
    lines = [json.loads(line) for line in (tmp_path / "j").read_bytes().splitlines()]
    assert [line["at_s"] for line in lines] == [0.0, 1.25]
    assert lines[1] == {**msgspec.to_builtins(started(1)), "at_s": 1.25}
    assert journal.read_journal(tmp_path / "j").lines == [
        journal.TimedEvent(at_s=0.0, event=started(0)),
        journal.TimedEvent(at_s=1.25, event=started(1)),
    ]


def test_time_begins_anew_when_the_journal_is_opened_again(tmp_path: Path) -> None:
    clock = Clock()
    for number in range(2):
        with journal.Journal(tmp_path / "j", clock) as book:
            clock.now += 3.0
            book.append(started(number))
        clock.now += 100.0
    assert [each.at_s for each in journal.read_journal(tmp_path / "j").lines] == [3.0, 3.0]


def test_a_journal_from_before_there_were_times_is_read_without_them(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(msgspec.json.encode(started(0)) + b"\n")
    assert journal.read_journal(tmp_path / "j").lines == [
        journal.TimedEvent(at_s=None, event=started(0))
    ]


def test_an_endless_line_is_left_out_and_never_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LONGEST_LINE", 200)
    path = written(tmp_path / "j", count=1)
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 1000 + b"\n" + whole + b"y" * 600)
    assert read(path)[0] == [started(0), started(0)]
    assert [(each.count, each.number) for each in read(path)[1].values()] == [(1, 2)]


@pytest.mark.parametrize("left", [b'{"event":', b'{"event":"sample","text":"' + b"x" * 200_000])
def test_going_on_after_a_kill_cuts_off_the_line_that_was_begun(
    tmp_path: Path, left: bytes
) -> None:
    path = written(tmp_path / "j", count=2)
    whole = path.read_bytes()
    path.write_bytes(whole + left)
    with journal.Journal(path) as book:
        assert path.read_bytes() == whole
        book.append(started(2))
    assert read(path) == ([started(0), started(1), started(2)], {})


def test_going_on_with_a_journal_that_has_no_whole_line_begins_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"event":"worker')
    with journal.Journal(path) as book:
        book.append(started(0))
    assert read(path) == ([started(0)], {})


def test_two_tools_cannot_write_one_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_PAUSE_S", 0.0)
    path = tmp_path / "j"
    with journal.Journal(path) as book:
        book.append(started(0))
        os.write(book._handle, b'{"event":')  # in the midst of a line
        with pytest.raises(StorageError, match="another speedtest is writing"):
            journal.Journal(path)
        assert path.read_bytes().endswith(b'{"event":')


def test_a_line_that_no_decoder_reads_to_its_end_still_names_its_cell(tmp_path: Path) -> None:
    line = b'{"event":"worker_started","cell":"a/tiny.en/short","round":"3","\x8f":1}\n'
    (tmp_path / "j").write_bytes(line)
    assert list(read(tmp_path / "j")[1]) == ["a/tiny.en/short"]


@pytest.mark.parametrize("deep", [1, 500, 2000])
def test_a_line_cannot_blame_another_cell(tmp_path: Path, deep: int) -> None:
    nested = json.loads("[" * 300 + "]" * 300)
    line = {"details": {"cell": "another"}, "deep": nested, **msgspec.to_builtins(started(3))}
    text = json.dumps(line).replace(json.dumps(nested), "[" * deep + "]" * deep)
    (tmp_path / "j").write_text(text.replace("3", "null") + "\n", encoding="utf-8")
    assert list(read(tmp_path / "j")[1]) == ["a/tiny.en/short"]


@pytest.mark.parametrize("taken", ["removed", "replaced", "moved with its folder"])
def test_a_journal_that_was_taken_away_is_said_at_once_and_there_again(
    tmp_path: Path, taken: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    path = folder / "j"
    with journal.Journal(path) as book:
        book.append(started(0))
        if taken == "moved with its folder":
            folder.rename(tmp_path / "elsewhere")
        else:
            path.unlink()
            if taken == "replaced":
                path.write_bytes(b"not a journal\n")
        with pytest.raises(journal.LostJournalError, match="removed or moved away"):
            book.append(started(1))
        assert journal.is_being_written(path)
        book.append(started(2))
    assert read(path) == ([started(0), started(1), started(2)], {})


def test_only_its_user_can_read_a_journal(tmp_path: Path) -> None:
    assert written(tmp_path / "j").stat().st_mode & 0o777 == 0o600
