"""Bundles that somebody made to do harm, or to look better: each is refused, and told why."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.runs import given
from fakes.tampered import document, forged, lines, members, with_line, with_manifest, zipped
from mac_whisper_speedtest.bundle import container, read, write
from mac_whisper_speedtest.bundle import validate as sound_module
from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.errors import ExitCode, SpeedtestError, UsageError
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.summarize import summarize

Forge = Callable[[Path], Path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound bundle."""
    folder = tmp_path_factory.mktemp("bundle")
    write.write_bundle(given(folder / "run", public=True), folder / "x.zip")
    return (folder / "x.zip").read_bytes()


@pytest.fixture
def sound(whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound bundle, and a data folder without runs."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "x.zip").write_bytes(whole)
    return tmp_path / "x.zip"


def refused(path: Path) -> str:
    """Why ``path`` is refused, in reading and in importing; nothing may be left of it anywhere."""
    before = sorted(each for each in path.parent.rglob("*") if "data" not in each.parts)
    with pytest.raises(BundleError) as reading:
        read.read_bundle(path)
    with pytest.raises(BundleError) as importing:
        read.import_verified(path)
    assert reading.value.message == importing.value.message
    assert reading.value.exit_code == ExitCode.USAGE
    assert str(path) in reading.value.message
    assert reading.value.message.isprintable()
    assert len(reading.value.message) < 1000
    assert directory.every() == []
    assert sorted(each for each in path.parent.rglob("*") if "data" not in each.parts) == before
    return reading.value.message


def test_the_sound_one_is_taken(sound: Path) -> None:
    assert read.import_verified(sound).new


# ---- the zip file


def _added(path: Path, name: str, data: bytes = b"x", mode: int = 0) -> Path:
    """The bundle with one member more, under any name."""
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = entry.orig_filename = name
    entry.external_attr = mode << 16
    new = path.with_name("more.zip")
    new.write_bytes(path.read_bytes())
    with zipfile.ZipFile(new, "a") as archive:
        archive.writestr(entry, data)
    return new


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil.json", "leads out of the folder"),
        ("a/../../evil", "leads out of the folder"),
        ("/etc/passwd", "absolute path"),
        ("C:evil", "Windows path"),
        ("..\\evil.json", "Windows path"),
        ("folder/evil.json", "no folders"),
        ("evil.json", "no such file"),
        ("Manifest.json", "no such file"),
        ("manifest.json\0.exe", "NUL"),
        ("\x1b[31mevil", "no such file"),
        ("\u202ejson.evil", "no such file"),
        ("", "no such file"),
    ],
)
def test_a_member_by_any_other_name_is_refused(sound: Path, name: str, why: str) -> None:
    assert why in refused(_added(sound, name))


def test_a_member_that_is_a_link_is_refused(sound: Path) -> None:
    files = members(sound)
    with zipfile.ZipFile(sound, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16 if name == "journal.jsonl" else 0
            archive.writestr(entry, data if name != "journal.jsonl" else b"/etc/passwd")
    assert "is a link" in refused(sound)


def test_two_members_of_one_name_are_refused(sound: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = _added(sound, "manifest.json")
    assert "two members named manifest.json" in refused(path)


def test_a_hundred_thousand_members_are_refused_before_they_are_read(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = sound.with_name("many.zip")
    many.write_bytes(_of_empty_members(100_000))
    with zipfile.ZipFile(many) as archive:
        assert len(archive.infolist()) == 100_000
    monkeypatch.setattr(zipfile, "ZipFile", None)  # nobody asks it
    assert "bundle has 3" in refused(many)


def _of_empty_members(count: int) -> bytes:
    """A zip file by hand, because zipfile takes long for so many."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0)
    entry = struct.pack("<4s6H3L5H", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0)
    files = b"".join(b"%b%06d" % (local, number) for number in range(count))
    where = (struct.pack("<LL", 0, number * (len(local) + 6)) for number in range(count))
    entries = b"".join(b"%b%b%06d" % (entry, place, number) for number, place in enumerate(where))
    shown = min(count, 0xFFFE)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, shown, shown, len(entries), len(files), 0)
    return files + entries + end


def test_a_missing_member_is_named(sound: Path) -> None:
    assert "no journal.jsonl" in refused(forged_without(sound, "journal.jsonl"))
    assert "no bundle.json" in refused(forged_without(sound, "bundle.json"))


def forged_without(path: Path, name: str) -> Path:
    left = {each: data for each, data in members(path).items() if each != name}
    return zipped(path.with_name("less.zip"), left)


def test_a_bomb_is_refused_by_what_it_says_of_itself(sound: Path) -> None:
    files = {**members(sound), "journal.jsonl": b"\n" * (20 << 20)}
    assert "zip bomb" in refused(zipped(sound.with_name("bomb.zip"), files))


def test_more_bytes_than_are_ever_read_are_refused(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(container.LARGEST_MEMBER, "manifest.json", 100)
    assert "at most 100 are read" in refused(sound)
    monkeypatch.setattr(container, "LARGEST_FILE", 1000)
    assert "at most 1000" in refused(sound)


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_says(sound: Path) -> None:
    files = {**members(sound), "journal.jsonl": random.Random(1).randbytes(3 << 20)}
    path = zipped(sound.with_name("liar.zip"), files)
    data = path.read_bytes()
    lie = struct.pack("<L", 3 << 20), struct.pack("<L", 1000)
    assert data.count(lie[0]) >= 2  # in the local header and in the directory
    path.write_bytes(data.replace(*lie))
    assert "damaged" in refused(path) or "changed" in refused(path)


@pytest.mark.parametrize("bit", [0x1, 0x40, 0x2000])
def test_an_encrypted_member_is_refused(sound: Path, bit: int) -> None:
    _patch_entries(sound, 8, struct.pack("<H", bit))
    assert "encrypted" in refused(sound)


@pytest.mark.parametrize("method", [1, 6, 12, 14, 93, 99])
def test_an_unknown_compression_is_refused(sound: Path, method: int) -> None:
    _patch_entries(sound, 10, struct.pack("<H", method))
    assert f"method {method}" in refused(sound)


def _patch_entries(path: Path, offset: int, value: bytes) -> None:
    """Overwrite a field in every entry of the directory."""
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + offset : at + offset + len(value)] = value
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(bytes(data))


def test_members_that_lie_in_each_other_are_refused(sound: Path) -> None:
    # Every entry points to the first one's data, as in a bomb of overlapping files.
    _patch_entries(sound, 42, struct.pack("<L", 0))
    assert "overlap" in refused(sound)


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_bytes_that_belong_to_no_member_are_refused(sound: Path, where: str) -> None:
    data = sound.read_bytes()
    at = {"before": 0, "between": data.find(b"PK\x01\x02"), "after": len(data)}[where]
    sound.write_bytes(data[:at] + b"#!/bin/sh\nexit\n" + data[at:])
    assert refused(sound)


@pytest.mark.parametrize("left", [0, 1, 21, 22, 100, 0.5, 0.9, -1])
def test_a_file_that_is_cut_off_is_refused(sound: Path, left: float) -> None:
    data = sound.read_bytes()
    sound.write_bytes(data[: left if isinstance(left, int) else int(left * len(data))])
    assert "not a zip file" in refused(sound)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"PK\x05\x06" + b"\0" * 18, b"PK\x05\x06" + b"\xff" * 18, b"\0" * 5000],
)
def test_what_is_no_zip_file_is_refused(sound: Path, data: bytes) -> None:
    sound.write_bytes(data)
    assert refused(sound)


def test_a_tar_file_is_refused(sound: Path) -> None:
    import tarfile

    with tarfile.open(sound, "w:gz") as archive:
        entry = tarfile.TarInfo("manifest.json")
        archive.addfile(entry, io.BytesIO())
    assert "not a zip file" in refused(sound)


def test_damage_anywhere_is_refused_or_does_no_harm(sound: Path) -> None:
    run = read.read_bundle(sound)
    rnd = random.Random(17)
    data = sound.read_bytes()
    for _ in range(60):
        changed = bytearray(data)
        for _ in range(rnd.randint(1, 4)):
            changed[rnd.randrange(len(data))] = rnd.randrange(256)
        sound.write_bytes(bytes(changed))
        with contextlib.suppress(SpeedtestError):
            assert read.read_bundle(sound) == run  # such as another time in a header


def test_a_missing_file_and_a_folder_are_the_users_mistake(tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(UsageError, match="there is no file"):
            read.read_bundle(path)


# ---- digests and versions


def test_wrong_digests_are_refused(sound: Path) -> None:
    for name in ("manifest.json", "journal.jsonl"):
        files = members(sound)
        path = zipped(sound.with_name("changed.zip"), {**files, name: files[name] + b" \n"})
        assert f"its {name} was changed" in refused(path)


def test_a_median_that_was_edited_in_the_journal_breaks_its_digest(sound: Path) -> None:
    files = members(sound)
    first = b'"seconds":0.'
    journal = files["journal.jsonl"].replace(first, b'"seconds":0.0', 1)
    if journal == files["journal.jsonl"]:
        journal = journal.replace(b'"seconds":1.', b'"seconds":0.', 1)
    path = zipped(sound.with_name("changed.zip"), {**files, "journal.jsonl": journal})
    assert "was changed" in refused(path)


def _info(path: Path, **changes: Any) -> Path:
    info = {**document(path, "bundle.json"), **changes}
    return forged(path, {"bundle.json": json.dumps(info).encode()})


def test_a_bundle_of_the_future_is_refused_with_what_to_do(sound: Path) -> None:
    path = _info(sound, version=2)
    assert "bundle version 2" in refused(path)
    with pytest.raises(BundleError) as error:
        read.read_bundle(path)
    assert "newer" in error.value.hint


def test_a_schema_of_the_future_is_refused_with_what_to_do(sound: Path) -> None:
    path = with_manifest(sound, lambda manifest: manifest.update(schema_version=4, clips="new"))
    assert "schema version 4" in refused(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_schema_that_was_never_released_is_refused_as_too_old(sound: Path, version: int) -> None:
    path = with_manifest(sound, lambda manifest: manifest.update(schema_version=version))
    assert "by an unreleased version of this tool and is too old" in refused(path)


@pytest.mark.parametrize("version", [0, -1])
def test_a_schema_that_never_was_is_refused(sound: Path, version: int) -> None:
    path = with_manifest(sound, lambda manifest: manifest.update(schema_version=version))
    assert "schema version" in refused(path)


def test_another_format_and_another_runs_id_are_refused(sound: Path) -> None:
    assert "format" in refused(_info(sound, format="something else"))
    assert "is of run" in refused(_info(sound, run_id="f" * 32))
    assert "lists the members" in refused(_info(sound, members={}))


def test_bytes_that_are_no_text_are_refused_also_in_unknown_fields(sound: Path) -> None:
    for name in ("manifest.json", "journal.jsonl", "bundle.json"):
        data = members(sound)[name].replace(b"{", b'{"x\xff":1,', 1)
        assert "0xff" in refused(forged(sound, {name: data}))


# ---- summaries


def _sealed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    run = json.loads(msgspec.json.encode(read.read_bundle(path)))
    change(run)
    return forged(path, {"run.json": json.dumps(run).encode()})


def test_a_summary_that_is_inside_is_not_believed(sound: Path) -> None:
    assert read.read_bundle(_sealed(sound, lambda run: None)) == read.read_bundle(sound)


@pytest.mark.parametrize(("name", "value"), [("median_s", 0.001), ("rank", 1), ("wer", 0.0)])
def test_a_summary_that_was_edited_is_refused(sound: Path, name: str, value: float) -> None:
    path = _sealed(sound, lambda run: run["cells"][1]["summary"].update({name: value}))
    assert f"run.json has {name}" in refused(path)


def test_a_sealed_run_without_the_cell_is_refused(sound: Path) -> None:
    assert "run.json has" in refused(_sealed(sound, lambda run: run["cells"].pop()))


# ---- JSON


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schema_version": NaN}',
        b'{"schema_version": 1e999}',
        b"\xff\xfe",
        b'{"schema_version": "3"}',
        b'{"schema_version": 1' + b"0" * 5000 + b"}",
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"schema_version": 3, "x": ' + b'{"y":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
    ids=range(11),
)
@pytest.mark.parametrize("name", ["manifest.json", "bundle.json"])
def test_what_is_not_the_json_that_it_should_be_is_refused(
    sound: Path, name: str, text: bytes
) -> None:
    assert refused(forged(sound, {name: text}))


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"null",
        b"",
        b'{"event": "sample"}',
        b'{"event": "unheard_of"}',
        b'{"event": "run_ended", "state": "complete", "x": ' + b"[" * 99_999 + b"]" * 99_999 + b"}",
        b'{"event": "run_ended", "state": NaN}',
        b'{"event": "run_ended", "state": "running"}',
        b'{"event": "run_ended", "state": "complete", "at_s": "soon"}',
        b'{"event": "run_ended", "state": "complete", "at_s": -1}',
        b'{"event": "run_ended", "state": "complete", "at_s": 1e300}',
    ],
    ids=range(11),
)
def test_what_is_not_a_line_of_a_journal_is_refused(sound: Path, line: bytes) -> None:
    journal = members(sound)["journal.jsonl"]
    assert "journal line" in refused(forged(sound, {"journal.jsonl": journal + line + b"\n"}))


def test_a_journal_without_its_last_newline_and_one_endless_line_are_refused(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = members(sound)["journal.jsonl"]
    assert "ends within a line" in refused(forged(sound, {"journal.jsonl": journal[:-1]}))
    monkeypatch.setattr(sound_module, "LONGEST_LINE", 1000)
    line = json.dumps({"x": random.Random(1).randbytes(100_000).hex()}).encode()
    assert "a line of more than" in refused(forged(sound, {"journal.jsonl": line}))


def test_more_lines_than_are_ever_read_are_refused(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_module, "MOST_LINES", 10)
    assert "more than 10 lines" in refused(sound)


# ---- what cannot have been measured


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("sample", {"seconds": -1.0}, "seconds"),
        ("sample", {"seconds": 0.0}, "is impossible"),
        ("sample", {"seconds": 1e-9}, "is impossible"),
        ("sample", {"seconds": 1e300}, "seconds"),
        ("sample", {"wall_s": -0.1}, "wall_s"),
        ("sample", {"round": -1}, "round"),
        ("sample", {"attempt": -1}, "attempt"),
        ("sample", {"peak_rss_bytes": 1 << 70}, "peak_rss_bytes"),
        ("sample", {"tokens": 10**30}, "tokens"),
        ("sample", {"tokens": 10**400}, "journal line"),
        ("sample", {"seconds": "1"}, "not an event"),
        ("sample", {"text": None}, "not an event"),
        ("sample", {"text": ["a"]}, "not an event"),
        ("sample", {"kind": "best"}, "kind"),
        ("sample", {"cell": "other/tiny.en/speech"}, "not a cell of the run"),
        ("sample", {"utterance": "u9"}, "no recording"),
        ("sample", {"failed": "ValueError: no"}, "failed, and has a text"),
        ("sample", {"stages_s": {"encode": -1.0}}, "stages_s"),
        ("sample", {"segments": [{"start_s": 1e300, "end_s": 1.0, "text": ""}]}, "start_s"),
        ("worker_ended", {"status": "splendid"}, "splendid"),
        ("worker_ended", {"cell": "x"}, "not a cell of the run"),
        ("loaded", {"load_s": -3.0}, "load_s"),
        ("loaded", {"cell": "x"}, "not a cell of the run"),
    ],
)
def test_an_event_that_cannot_have_happened_is_refused(
    sound: Path, kind: str, changes: dict[str, Any], why: str
) -> None:
    assert why in refused(with_line(sound, kind, **changes))


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (s.Metered(cell="", round=0, attempt=0, audio_s=1e6, wall_s=1.0, readings={}), "audio"),
        (s.Decided(after=1, until=2, look=0, level=1.0, cells=[], reason=""), "intervals"),
        (s.Decided(after=1, until=2, look=0, level=0.95, cells=["x"], reason=""), "no cells"),
        (
            s.RoundWatched(
                round=0,
                before=s.ConditionsInfo(values={"x": 1e300}),
                after=s.ConditionsInfo(values={}),
            ),
            "values",
        ),
    ],
    ids=["metered", "level", "cells", "conditions"],
)
def test_an_event_more_that_cannot_have_happened_is_refused(
    sound: Path, event: s.Event, why: str
) -> None:
    if isinstance(event, s.Metered):
        event = msgspec.structs.replace(event, cell=lines(sound)[0]["cell"])
    journal = members(sound)["journal.jsonl"] + msgspec.json.encode(event) + b"\n"
    assert why in refused(forged(sound, {"journal.jsonl": journal}))


def _clip(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["clips"][0].update(changes)


def _utterance(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["clips"][0]["utterances"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_clip(seconds=2000.0), "should last 2000 s"),
        (_clip(samples=1), "should last"),
        (_clip(name="other"), "not in the run"),
        (_clip(pcm_sha256="e" * 64), "the hash"),
        (_clip(pcm_sha256="../../x"), "not a SHA-256"),
        (_clip(kind="film"), "kind"),
        (_utterance(seconds=1000.0), "1000 s"),
        (_utterance(samples=0), "0 samples"),
        (_utterance(seconds=-10.0), "seconds"),
        (_utterance(name="u2"), "two recordings"),
        (_utterance(name="a\nb"), "printable"),
        (lambda m: m.update(cells=[]), "no cells"),
        (lambda m: m["cells"].append(m["cells"][0]), "two cells"),
        (lambda m: m["clips"].append(m["clips"][0]), "two clips"),
        (lambda m: m["cells"][0].update(clip="x"), "not in the run"),
        (lambda m: m["cells"][0].update(backend="x" * 999), "too long"),
        (lambda m: m["schedule"].append(["x"]), "schedule"),
        (lambda m: m.update(run_id="1"), "run"),
        (lambda m: m.update(run_id="../../../../../../../../../../etc"), "run"),
        (lambda m: m.update(run=-1), "run"),
        (lambda m: m["request"].update(rounds=-1), "rounds"),
        (lambda m: m["machine"].update(memory_bytes=-1), "memory_bytes"),
        (lambda m: m["machine"].update(cpu=7), "manifest.json"),
    ],
)
def test_a_manifest_that_no_run_has_written_is_refused(
    sound: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    path = with_manifest(sound, change)
    if document(path, "manifest.json")["run_id"] != document(sound, "manifest.json")["run_id"]:
        info = json.loads(members(path)["bundle.json"])
        info["run_id"] = document(path, "manifest.json")["run_id"]
        path = forged(path, {"bundle.json": json.dumps(info).encode()})
    assert why in refused(path)


def test_more_cells_than_can_be_compared_are_refused(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_module, "MOST_CELLS", 1)
    assert "2 cells; at most 1" in refused(sound)


# ---- letters


@pytest.mark.parametrize("letter", ["\x1b", "\x00", "\r", "\x9b", "\u202e", "\u2066", "\x7f"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_letters_that_do_something_to_a_terminal_are_refused(
    sound: Path, letter: str, ascii_only: bool
) -> None:
    found = lines(sound)
    at = next(number for number, line in enumerate(found) if line["event"] == "sample")
    found[at]["text"] = f"a{letter}[2Jb"
    text = "".join(json.dumps(line, ensure_ascii=ascii_only) + "\n" for line in found)
    path = forged(sound, {"journal.jsonl": text.encode()})
    assert f"U+{ord(letter):04X}" in refused(path)


def test_html_and_formulas_and_other_scripts_are_texts_like_others(sound: Path) -> None:
    text = "<script>alert(1)</script> =1+1 שלום\u200f 東京 नमस्ते \\u001b \n\t"
    run = read.read_bundle(with_line(sound, "sample", text=text))
    assert text in {sample.text for cell in run.cells for sample in cell.samples}


def test_a_text_of_megabytes_is_refused(sound: Path) -> None:
    text = random.Random(1).randbytes(1 << 20).hex()
    assert "text has 2097152 characters" in refused(with_line(sound, "sample", text=text))


# ---- nothing is taken over


def test_what_the_schema_does_not_know_changes_no_figure(sound: Path) -> None:
    path = with_line(sound, "sample", median_s=0.001, verdict="FASTER")
    assert read.read_bundle(path) == read.read_bundle(sound)


def test_an_outcome_and_an_id_of_a_path_lead_nowhere(sound: Path) -> None:
    path = with_manifest(
        sound, lambda manifest: manifest.update(outcome={"state": "running", "message": ""})
    )
    run = read.import_verified(path).run
    assert run.path == directory.runs_dir() / "000001"
    outcome = run.replay().manifest.outcome
    assert outcome is not None
    assert outcome.state == "complete"


def test_figures_are_those_of_the_samples_even_where_a_forger_has_made_all_digests_anew(
    sound: Path,
) -> None:
    path = with_line(sound, "sample", seconds=0.9)
    run = read.read_bundle(path)
    assert run == summarize(run)
    digest = hashlib.sha256(members(path)["journal.jsonl"]).hexdigest()
    assert document(path, "bundle.json")["members"]["journal.jsonl"]["sha256"] == digest
