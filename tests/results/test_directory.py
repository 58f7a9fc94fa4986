"""Run directories: numbers that are given once, names that a run is found by, and the seal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from fakes.runs import TWO, run_of, stored
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import digests, directory, journal
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.summary.summarize import summarize


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(folder))
    return folder


def bare(tags: tuple[str, ...] = (), run_id: str = "") -> RunDirectory:
    """A run with nothing but a manifest."""
    run = directory.create()
    head = run_of(*TWO, number=run.number, tags=list(tags)).manifest
    run.write_manifest(msgspec.structs.replace(head, run_id=run_id or head.run_id))
    return run


CLAIM = """
import sys
from collections.abc import Callable
from pathlib import Path
from mac_whisper_speedtest.results import directory
print("ready", flush=True)
sys.stdin.readline()
print(*(int(directory.claim(Path(sys.argv[1])).name) for _ in range(20)))
"""


def test_processes_that_create_runs_at_once_get_different_numbers_without_gaps(data: Path) -> None:
    with contextlib.ExitStack() as stack:
        tools = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CLAIM, str(data / "runs")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(8)
        ]
        for tool in tools:
            assert tool.stdout is not None
            tool.stdout.readline()
        said = [tool.communicate("go\n")[0] for tool in reversed(tools)]
    assert sorted(int(each) for line in said for each in line.split()) == list(range(1, 161))


def test_a_removed_number_is_not_given_again(data: Path) -> None:
    for _ in range(3):
        bare()
    directory.retire(data / "runs", 3)
    (data / "runs" / "000003" / "manifest.json").unlink()
    (data / "runs" / "000003").rmdir()
    assert directory.create().number == 4


def test_of_many_removed_numbers_the_highest_is_remembered_in_whatever_order(data: Path) -> None:
    bare()
    for number in (5, 9, 7):
        directory.retire(data / "runs", number)
    assert [path.name for path in (data / "runs").glob(".last-*")] == [".last-000009"]
    assert directory.create().number == 10


def test_latest_is_the_highest_number_that_has_a_manifest() -> None:
    first = bare()
    directory.create()
    assert directory.find("latest") == first


def test_a_tag_is_the_latest_run_that_has_it() -> None:
    bare(("base",))
    second = bare(("base", "new"))
    bare()
    assert directory.find("base") == second


def test_a_run_id_or_eight_digits_of_it_are_a_run() -> None:
    bare()
    run = bare(run_id="0123456789abcdef0123456789abcdef")
    for name in ("0123456789abcdef0123456789abcdef", "01234567", "0123456789ABCDEF"):
        assert directory.find(name) == run
    with pytest.raises(UsageError, match="'abcdef01' is not a run"):
        directory.find("abcdef01")
    with pytest.raises(UsageError, match="there is no run 123456"):
        directory.find("0123456")  # seven digits are a number


def test_a_number_comes_before_a_run_id_and_a_tag_of_the_same_digits() -> None:
    first = bare(("2",))
    second = bare()
    assert directory.find("2") == second
    assert directory.find("1") == first


def test_what_is_more_than_one_run_is_an_error_that_lists_them() -> None:
    bare(run_id="deadbeef" * 4)
    bare(("deadbeef",))
    bare(run_id="deadbeef" + "0" * 24)
    with pytest.raises(UsageError, match="more than one run") as found:
        directory.find("deadbeef")
    assert found.value.hint == (
        f"use one of 3 (run id deadbeef{'0' * 24}); 2 (the latest with the tag deadbeef); "
        f"1 (run id {'deadbeef' * 4})"
    )


def test_a_folder_with_the_name_of_a_tag_is_not_taken_for_it_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagged = bare(("base",))
    copy = RunDirectory(tmp_path / "base")
    copy.write_manifest(run_of(*TWO).manifest)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="more than one run"):
        directory.find("base")
    assert directory.find("./base").path == Path("base")
    monkeypatch.chdir(tagged.path.parent)
    assert directory.find("base") == tagged
    assert directory.find("000001").path.samefile(tagged.path)


def test_a_manifest_that_cannot_be_read_does_not_hide_the_others() -> None:
    run = bare(("base",))
    bare().manifest_path.write_bytes(b"\0\0\0")
    assert directory.find("base") == run


@pytest.mark.parametrize("name", ["", "no such", "x" * 5000, "with\0nul", "../..", "-1", "²"])
def test_what_is_no_run_is_an_error_that_says_which_tags_there_are(name: str) -> None:
    bare(("base", "quiet"))
    with pytest.raises(UsageError) as found:
        directory.find(name)
    assert "the tags are base, quiet" in found.value.hint


def canonical(value: object) -> bytes:
    """Written independently of the code under test."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def test_a_seal_has_the_digests_of_all_three_files() -> None:
    run = stored()
    sealed = json.loads(run.sealed_path.read_bytes())
    digests = sealed.pop("digests")
    manifest = json.loads(run.manifest_path.read_bytes())
    lines = run.journal_path.read_bytes().splitlines()
    journal_text = b"".join(canonical(json.loads(line)) + b"\n" for line in lines)
    assert digests == {
        "manifest": hashlib.sha256(canonical(manifest)).hexdigest(),
        "journal": hashlib.sha256(journal_text).hexdigest(),
        "run": hashlib.sha256(canonical(sealed)).hexdigest(),
        "files": digests["files"],
        "computed_by": digests["computed_by"],
    }


def test_a_seal_is_believed_while_nothing_has_changed() -> None:
    run = stored()
    assert run.sealed() == summarize(run.replay())


def _spaces(path: Path) -> None:
    """The same content, written in another way."""
    path.write_bytes(path.read_bytes().replace(b":", b": ", 1))


def _other_code(path: Path) -> None:
    made = path.read_bytes()
    path.write_bytes(made.replace(digests.computed_by().encode(), b"0.1.0/1/0123456789abcdef"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("manifest.json", _spaces),
        ("journal.jsonl", _spaces),
        ("run.json", _spaces),
        ("run.json", _other_code),
        ("run.json", lambda path: path.write_bytes(path.read_bytes()[:-40])),
        ("run.json", lambda path: path.write_bytes(b"")),
        ("run.json", Path.unlink),
        ("journal.jsonl", Path.unlink),
    ],
)
def test_a_seal_is_not_believed_after_any_change(
    name: str, change: Callable[[Path], object]
) -> None:
    run = stored()
    change(run.path / name)
    assert run.sealed() is None


def test_a_seal_from_elsewhere_is_not_believed(tmp_path: Path) -> None:
    there = tmp_path / "000001"
    shutil.copytree(stored().path, there)
    assert RunDirectory(there).sealed() is None


def test_digests_depend_on_what_is_said_and_not_on_how_it_is_written() -> None:
    assert digests.of_manifest(b'{"b": 1.50, "a": "\\u00e9"}') == digests.of_manifest(
        '{ "a":"é",\n"b":1.5 }'.encode()
    )
    assert digests.of_manifest(b'{"a": 1}') != digests.of_manifest(b'{"a": 1.0}')
    with pytest.raises(StorageError, match=r"manifest\.json is damaged"):
        digests.of_manifest(b"{")


def test_a_journals_digest_passes_over_holes_and_a_last_line_without_its_end() -> None:
    whole = digests.of_journal(b'{"a":1}\n{"b":2}\n')
    assert digests.of_journal(b'{"a": 1}\n\0\0\0\n{"b":2}\n{"c"') == whole
    assert digests.of_journal(b'{"b":2}\n{"a":1}\n') != whole


def test_a_run_whose_manifest_is_gone_is_not_sealed() -> None:
    run = stored(seal=False)
    found = summarize(run.replay())
    run.manifest_path.unlink()
    with pytest.raises(StorageError, match=r"manifest\.json"):
        run.seal(found)
    assert not run.sealed_path.exists()


def test_a_seal_can_be_written_again_and_is_the_same() -> None:
    run = stored()
    before = run.sealed_path.read_bytes()
    run.seal(summarize(run.replay()))
    assert run.sealed_path.read_bytes() == before


def test_a_journal_that_goes_on_after_its_seal_is_told_from_one_that_was_changed() -> None:
    run = stored()
    sealed = json.loads(run.sealed_path.read_bytes())["digests"]["journal"]
    content = run.journal_path.read_bytes()
    resumed = b'{"event":"resumed","at":"","tool":{}}\n'
    assert not digests.goes_on(content, sealed)
    assert digests.goes_on(content + resumed, sealed)
    assert digests.goes_on(content + resumed + b'{"event":"run_ended"}\n' + resumed, sealed)
    assert not digests.goes_on(content + b'{"event":"run_ended"}\n' + resumed, sealed)
    assert not digests.goes_on(content[1000:] + resumed, sealed)
    with journal.Journal(run.journal_path):
        assert journal.is_being_written(run.journal_path)


def test_only_its_user_can_read_a_run_and_the_index(data: Path) -> None:
    run = stored(synced=True)
    with open_index():
        pass
    there = [data / "runs", *data.rglob("*")]
    assert run.sealed_path in there
    assert [path for path in there if path.stat().st_mode & 0o077] == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"run": ', '"deep": ' + "[" * 1000 + "]" * 1000 + ', "run": ', "nested deeper than 64"),
        ('"rounds": 2', '"rounds": 1e300', r"Expected `int \| null`"),
        ('"rounds": 2', '"rounds": 9999999999999999999', "request.rounds is 9"),
        ('"seconds": 10.0', '"seconds": -1', r"clips\[0\].seconds is -1"),
        ('"clip": "speech"', '"clip": "other"', "it has no clip 'other'"),
    ],
)
def test_a_manifest_that_cannot_be_is_damaged_and_says_where(old: str, new: str, why: str) -> None:
    run = stored()
    text = run.manifest_path.read_text(encoding="utf-8")
    assert old in text
    run.manifest_path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(StorageError, match=f"manifest.json is damaged: .*{why}"):
        run.replay()
    assert directory.find("latest") == run
