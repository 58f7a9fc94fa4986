"""Finding and reading what a leaderboard is made of, good and bad."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from fakes import parks
from fakes.parks import without_texts
from fakes.runs import FakeRun
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.leaderboard import build, intake
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory


def machine(number: int) -> FakeRun:
    """A small run: the disk has to take every line of its journal."""
    return parks.machine(number, rounds=2, passes=1)


def bundled(run: FakeRun, path: Path, *, texts: bool = True) -> Path:
    """The run as a bundle at ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = run.write(path.parent / f".{path.stem}")
    write.write_bundle(RunDirectory(folder), path, texts=texts)
    shutil.rmtree(folder)
    return path


def read(*paths: Path) -> intake.Intake:
    return intake.read_bundles(intake.find_bundles(map(str, paths)))


def test_a_folder_is_searched_for_bundles_and_runs(tmp_path: Path) -> None:
    bundled(machine(1), tmp_path / "x" / "deep" / "one.zip")
    machine(2).write(tmp_path / "x" / "000002")
    (tmp_path / "x" / "000002" / "inside.zip").write_bytes(b"what is in a run is no bundle")
    (tmp_path / "x" / "README.md").write_text("no bundle")
    (tmp_path / "x" / ".hidden.zip").write_bytes(b"")
    bundled(machine(3), tmp_path / "x" / ".cache" / "three.zip")

    found = intake.find_bundles([str(tmp_path / "x"), str(tmp_path / "x" / "deep" / "one.zip")])

    assert [path.name for path in found] == ["000002", "one.zip"]


def test_a_run_of_this_machine_is_found_by_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path))
    there = machine(7).write(directory.runs_dir() / "000007")
    assert intake.find_bundles(["7"]) == [there.resolve()]
    assert intake.find_bundles([str(there / "manifest.json")]) == [there.resolve()]


@pytest.mark.parametrize(("name", "said"), [("nowhere.zip", "not a run"), ("empty", "no bundle")])
def test_what_stands_for_nothing_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=said):
        intake.find_bundles([str(tmp_path / name)])


def test_a_run_and_its_bundles_count_once(tmp_path: Path) -> None:
    run = machine(1)
    folder = run.write(tmp_path / "a")
    paths = [
        folder,
        bundled(run, tmp_path / "b.zip"),
        bundled(run, tmp_path / "c.zip", texts=False),
    ]

    found = read(*paths)

    assert ([each.name for each in found.accepted], found.repeated) == ([run.manifest.run_id], 2)
    assert found.refused == ()
    (board,) = build.build_leaderboard(found.accepted).boards
    assert all(row.error_rate is not None for row in board.groups[0].rows)


def test_bundles_of_one_run_that_do_not_say_the_same_are_all_refused(tmp_path: Path) -> None:
    run = machine(1)
    changed = [
        msgspec.structs.replace(each, seconds=each.seconds / 2)
        if isinstance(each, s.Sample) and each.cell.startswith("whisper.cpp")
        else each
        for each in run.events
    ]
    found = read(
        bundled(run, tmp_path / "true.zip"),
        bundled(FakeRun(run.manifest, changed), tmp_path / "false.zip"),
        bundled(machine(2), tmp_path / "other.zip"),
    )

    assert [each.name for each in found.accepted] == [f"{2:032x}"]
    assert [each.name for each in found.refused] == ["false.zip", "true.zip"]
    assert all("contradict each other" in each.reason for each in found.refused)


def test_texts_that_were_changed_afterwards_are_noticed_too(tmp_path: Path) -> None:
    run = machine(1)
    better = [
        msgspec.structs.replace(each, text="she sells sea shells")
        if isinstance(each, s.Sample)
        else each
        for each in run.events
    ]
    found = read(run.write(tmp_path / "a"), FakeRun(run.manifest, better).write(tmp_path / "b"))
    assert (len(found.accepted), len(found.refused)) == (0, 2)


def test_edited_medians_never_count(tmp_path: Path) -> None:
    """In a directory they are ignored; in a bundle they are a reason to refuse it."""
    run = machine(1)
    folder = run.write(tmp_path / "run")
    sealed = msgspec.to_builtins(run.run)
    for cell in sealed["cells"]:
        cell["summary"] |= {"median_s": 0.001, "rtfx": 99999.0}
    (folder / "run.json").write_text(json.dumps(sealed))
    path = bundled(machine(2), tmp_path / "edited.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("run.json", json.dumps(sealed))

    found = read(folder, path)

    (board,) = build.build_leaderboard(found.accepted).boards
    assert [each.name for each in found.refused] == ["edited.zip"]
    assert max(row.rtfx.value for row in board.groups[0].rows if row.rtfx) < 11


def test_everything_bad_is_named_with_its_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    good = bundled(machine(1), tmp_path / "good.zip")
    (tmp_path / "garbage.zip").write_bytes(b"PK\x03\x04 but not really")
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:500])
    damaged = machine(2).write(tmp_path / "damaged")
    (damaged / "manifest.json").write_text("{")
    future = machine(3).write(tmp_path / "future")
    document = json.loads((future / "manifest.json").read_text())
    (future / "manifest.json").write_text(json.dumps({**document, "schema_version": 99}))
    impossible = machine(4)
    events = [
        msgspec.structs.replace(each, seconds=-1.0) if isinstance(each, s.Sample) else each
        for each in impossible.events
    ]
    FakeRun(impossible.manifest, events).write(tmp_path / "impossible")

    found = read(tmp_path)

    assert [each.name for each in found.accepted] == [f"{1:032x}", f"{4:032x}"]
    assert {cell.status for cell in found.accepted[1].cells} == {"protocol_violation"}
    reasons = {each.name: each.reason for each in found.refused}
    assert sorted(reasons) == [
        "cut.zip",
        "damaged",
        "empty.zip",
        "future",
        "garbage.zip",
    ]
    assert "schema version 99" in reasons["future"]
    assert "damaged" in reasons["damaged"]
    assert all(str(tmp_path) not in each for each in reasons.values())


def test_a_run_that_is_being_measured_is_not_taken(tmp_path: Path) -> None:
    from mac_whisper_speedtest.results.journal import Journal

    folder = machine(1).write(tmp_path / "run")
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    with Journal(folder / "journal.jsonl"):
        found = read(folder)
    assert [each.reason for each in found.refused] == ["it is still being measured"]


def test_what_is_refused_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "bad.zip").write_bytes(b"not a zip")
    assert read(tmp_path / "here").refused == read(tmp_path / "there").refused


def test_a_bundle_without_texts_has_a_speed_and_no_error_rate(tmp_path: Path) -> None:
    found = read(without_texts(machine(1)).write(tmp_path / "run"))
    (board,) = build.build_leaderboard(found.accepted).boards
    (first, *_) = board.groups[0].rows
    assert first.rtfx is not None
    assert first.error_rate is None
