"""Bundles: what goes in comes out again, with the same figures and without the user's names."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import typing
from os import environ
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from fakes.events import SAID
from fakes.runs import FakeCell, FakeRun, given, run_of
from fakes.tampered import NAMES, document, lines, members, summaries, with_line
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import CONTRACTS, SETTING_NAMES
from mac_whisper_speedtest.bundle import leak_scan, read, redact, write
from mac_whisper_speedtest.bundle import members as bundle_members
from mac_whisper_speedtest.bundle.fields import POLICIES, policies, structs_in
from mac_whisper_speedtest.declared import Doc, FieldPolicy
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.results import comparable, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store.verify import verify
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.worker.exit_status import Status

POINTS = int(environ.get("SPEEDTEST_CRASH_POINTS", "4"))


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without runs; returns where its runs will be."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "runs"


# ---- the allow-list


WRITTEN = list(dict.fromkeys([*structs_in(s.Manifest), *structs_in(s.Event)]))


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_somebody_has_decided_on_every_field_that_is_written(kind: type[s.Struct]) -> None:
    assert set(POLICIES[kind]) == set(kind.__struct_fields__)


def test_nothing_else_is_on_the_list() -> None:
    assert set(POLICIES) == set(WRITTEN)
    assert not any(issubclass(kind, s.Computed) for kind in POLICIES)


def test_a_struct_with_a_field_on_which_nobody_has_decided_goes_into_no_bundle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Careless(s.Struct, frozen=True, kw_only=True):
        known: Annotated[str, Doc("a word"), FieldPolicy.KEPT]
        forgotten: str

    monkeypatch.setitem(typing.cast("dict[type, object]", POLICIES), Careless, policies(Careless))
    assert policies(Careless) == {"known": FieldPolicy.KEPT}
    with pytest.raises(TypeError, match="no FieldPolicy at forgotten of Careless"):
        redact.changing_fields(Careless)


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_what_is_said_to_be_an_object_of_the_schema_is_one_and_the_other_way_round(
    kind: type[s.Struct],
) -> None:
    hints = typing.get_type_hints(kind)
    holding = {name for name in kind.__struct_fields__ if list(structs_in(hints[name]))}
    assert holding == {name for name, how in POLICIES[kind].items() if how is FieldPolicy.INSIDE}


def test_the_words_that_name_nobody_are_those_of_backends_models_clips_and_settings() -> None:
    names = [
        *registry.installed(),
        *catalog.models(),
        *builtin.builtin_clips().names,
        *SETTING_NAMES,
    ]
    names += [*CONTRACTS, *catalog.weights_formats()]
    words = {word for name in names for word in re.findall("[a-z0-9]{3,}", name.lower())}
    missing = words - leak_scan.PUBLIC_WORDS
    assert missing == set()


def test_built_in_clips_and_datasets_are_public_and_nothing_of_the_users_is() -> None:
    (clip,) = run_of(FakeCell()).manifest.clips
    builtins = builtin.builtin_clips().recording.description
    for source in (
        builtins,
        f"{builtins}, said 10 times",
        f"cut from {builtins}",
        "LibriSpeech test-other (openslr.org/12, CC BY 4.0)",
        f"google/fleurs at {'a' * 40} on the Hugging Face hub",
    ):
        assert redact.is_public(msgspec.structs.replace(clip, source=source)), source
    for source in (
        "a file of the user's",
        "the microphone",
        "talk.mp3, from intra.example.org",
        "",
    ):
        assert not redact.is_public(msgspec.structs.replace(clip, source=source)), source


# ---- writing


def test_a_bundle_has_three_members_in_order_and_nothing_says_when_or_where(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    info = write.write_bundle(given(tmp_path / "run"), path)

    assert tuple(members(path)) == NAMES
    assert document(path, "bundle.json") == msgspec.to_builtins(info)
    for name, member in info.members.items():
        data = members(path)[name]
        assert (member.sha256, member.bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_the_same_run_gives_the_same_bytes_wherever_it_lies(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    write.write_bundle(run, tmp_path / "x.zip")
    shutil.copytree(run.path, tmp_path / "copy")
    write.write_bundle(RunDirectory(tmp_path / "copy"), tmp_path / "other" / "y.zip")
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "other" / "y.zip").read_bytes()


@pytest.mark.parametrize("public", [True, False])
def test_every_figure_comes_out_of_a_bundle_as_out_of_the_run(tmp_path: Path, public: bool) -> None:
    run = given(tmp_path / "run", public=public)
    write.write_bundle(run, tmp_path / "x.zip")

    there, here = read.read_bundle(tmp_path / "x.zip"), summarize(run.replay())

    assert summaries(there) == summaries(here)
    assert {cell.summary.wer for cell in there.cells if cell.summary} == {0.0, 0.375}
    if public:
        assert [cell.summary for cell in there.cells] == [cell.summary for cell in here.cells]


def test_when_each_line_was_written_goes_along(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    write.write_bundle(run, tmp_path / "x.zip")
    written = [each.at_s for each in run.journal().lines]
    assert [line["at_s"] for line in lines(tmp_path / "x.zip")] == written


def test_the_users_names_become_pseudonyms_everywhere_and_the_same_ones(tmp_path: Path) -> None:
    def dressed(run: FakeRun) -> FakeRun:
        (clip,) = run.manifest.clips
        names = {"u1": "board-meeting.wav", "u2": "call with anna.m4a"}
        clip = msgspec.structs.replace(
            clip,
            utterances=[
                msgspec.structs.replace(each, name=names[each.name]) for each in clip.utterances
            ],
            left_out=[s.LeftOutInfo(name="secret-plan.wav", reason="secret-plan.wav is empty")],
            unscored=[s.LeftOutInfo(name="board-meeting.wav", reason="no text")],
        )
        events: list[s.Event] = []
        for event in run.events:
            new = event
            if isinstance(event, s.Sample):
                new = msgspec.structs.replace(event, utterance=names[event.utterance])
            if isinstance(event, s.WorkerEnded):
                message = "cannot read call with anna.m4a, nor board-meeting: secret-plan.wav"
                new = msgspec.structs.replace(event, message=message)
            events.append(new)
        return FakeRun(msgspec.structs.replace(run.manifest, clips=[clip]), events)

    run = given(tmp_path / "run", change=dressed)
    write.write_bundle(run, tmp_path / "x.zip")

    everything = b"".join(members(tmp_path / "x.zip").values()).lower()
    assert not [name for name in (b"anna", b"board", b"secret", b"/speech") if name in everything]
    manifest = document(tmp_path / "x.zip", "manifest.json")
    (clip,) = manifest["clips"]
    name = f"set-{clip['pcm_sha256'][:8]}"
    assert clip["name"] == manifest["request"]["clips"][0] == name
    assert [each["name"] for each in clip["utterances"]] == ["utterance-0001", "utterance-0002"]
    assert clip["left_out"] == [{"name": "entry-0001", "reason": "entry-0001 is empty"}]
    assert clip["unscored"][0]["name"] == "utterance-0001"
    ended = next(line for line in lines(tmp_path / "x.zip") if line["event"] == "worker_ended")
    assert ended["message"] == "cannot read utterance-0002, nor utterance-0001: entry-0001"
    assert ended["cell"] == f"slow/tiny.en/{name}"
    assert {visit for round_ in manifest["schedule"] for visit in round_} == {
        each["id"] for each in manifest["cells"]
    }
    assert summaries(read.read_bundle(tmp_path / "x.zip")) == summaries(summarize(run.replay()))


def test_the_names_of_public_speech_stay(tmp_path: Path) -> None:
    run = given(tmp_path / "run", public=True)
    write.write_bundle(run, tmp_path / "x.zip")
    (clip,) = read.read_bundle(tmp_path / "x.zip").manifest.clips
    assert clip == run.replay().manifest.clips[0]


def test_kernels_tags_logs_and_unknown_details_stay_at_home(tmp_path: Path) -> None:
    def dressed(run: FakeRun) -> FakeRun:
        machine = msgspec.structs.replace(run.manifest.machine, os_version="6.18.44-annas-box")
        manifest = msgspec.structs.replace(run.manifest, machine=machine, tags=["for-anna"])
        events = [
            msgspec.structs.replace(each, details={"owner": "anna", "blas": "OpenBLAS 0.3"})
            if isinstance(each, s.Loaded)
            else msgspec.structs.replace(each, log_tail="anna was here")
            if isinstance(each, s.WorkerEnded)
            else each
            for each in run.events
        ]
        return FakeRun(manifest, events)

    write.write_bundle(given(tmp_path / "run", change=dressed), tmp_path / "x.zip")

    assert b"anna" not in b"".join(members(tmp_path / "x.zip").values())
    run = read.read_bundle(tmp_path / "x.zip")
    assert run.manifest.machine.os_version == "6.18.44"
    assert run.cells[0].backend.details == {"blas": "OpenBLAS 0.3"}


def test_a_mac_is_of_the_same_class_in_its_bundle(tmp_path: Path) -> None:
    mac = {
        "os": "Darwin",
        "os_version": "26.2",
        "os_build": "25C56",
        "cpu": "Apple M2",
        "hardware_model": "Mac14,2",
        "core_kinds": {"Performance": 4, "Efficiency": 4},
        "gpus": ["Apple M2"],
        "gpu_cores": 10,
    }

    def dressed(run: FakeRun) -> FakeRun:
        machine = msgspec.structs.replace(run.manifest.machine, **mac)
        return FakeRun(msgspec.structs.replace(run.manifest, machine=machine), run.events)

    own = given(tmp_path / "run", change=dressed)
    write.write_bundle(own, tmp_path / "x.zip")
    shared = read.read_bundle(tmp_path / "x.zip").manifest.machine
    assert shared == own.replay().manifest.machine
    assert comparable.hardware_class(shared) == (
        "macOS 26, Apple M2, 8 cores (4 Performance + 4 Efficiency), 16 GiB, 10 GPU cores, Mac14,2"
    )


def test_letters_that_act_are_replaced_before_anything_is_given_away(tmp_path: Path) -> None:
    hostile = "one\x1b[31m two\u202e three\r\nfour"
    run = given(tmp_path / "run", backends=[FakeCell("a", text={"u1": hostile})])
    write.write_bundle(run, tmp_path / "x.zip")
    texts = {sample.text for sample in read.read_bundle(tmp_path / "x.zip").cells[0].samples}
    assert "one\ufffd[31m two\ufffd three\nfour" in texts


def test_own_files_as_weights_keep_their_hashes_and_not_their_names(tmp_path: Path) -> None:
    def dressed(run: FakeRun) -> FakeRun:
        weights = run.manifest.cells[0].weights
        assert weights is not None
        own = msgspec.structs.replace(
            weights,
            source="named in the backend's description",
            files={"annas-voice.bin": "c" * 64, "a.json": "d" * 64},
            network_sha256=None,
        )
        cells = [msgspec.structs.replace(each, weights=own) for each in run.manifest.cells]
        return FakeRun(msgspec.structs.replace(run.manifest, cells=cells), run.events)

    write.write_bundle(given(tmp_path / "run", change=dressed), tmp_path / "x.zip")
    weights = read.read_bundle(tmp_path / "x.zip").manifest.cells[0].weights
    assert weights is not None
    assert weights.files == {"file-0001": "d" * 64, "file-0002": "c" * 64}


# ---- without texts


def test_without_texts_no_word_goes_along_and_the_bundle_says_so(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    info = write.write_bundle(run, tmp_path / "x.zip", texts=False)

    everything = b"".join(members(tmp_path / "x.zip").values()).decode()
    assert [text for text in SAID.values() if text in everything] == []
    there = read.read_bundle(tmp_path / "x.zip")
    assert info.texts_left_out
    assert redact.texts_left_out(there.manifest)
    for cell, own in zip(there.cells, summarize(run.replay()).cells, strict=True):
        assert cell.summary is not None
        assert own.summary is not None
        assert (cell.summary.wer, cell.summary.accuracy) == (None, None)
        assert cell.summary.median_s == own.summary.median_s
        assert cell.summary.rtfx_bounds == own.summary.rtfx_bounds


def test_without_texts_those_of_public_speech_go_along(tmp_path: Path) -> None:
    run = given(tmp_path / "run", public=True)
    info = write.write_bundle(run, tmp_path / "x.zip", texts=False)
    write.write_bundle(run, tmp_path / "y.zip")
    assert not info.texts_left_out
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()


# ---- what cannot be written


def test_a_run_that_still_goes_on_is_not_given_away(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    with (
        Journal(run.journal_path),
        pytest.raises(UsageError, match="still being measured"),
    ):
        write.write_bundle(run, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_damaged_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    whole = run.journal_path.read_bytes().split(b"\n")
    run.journal_path.write_bytes(b"\n".join([*whole[:-2], b"\0\0", *whole[-2:-1], b"unfinished"]))
    write.write_bundle(run, tmp_path / "x.zip")
    outcome = read.read_bundle(tmp_path / "x.zip").manifest.outcome
    assert outcome == s.Outcome(state="complete", message="1 damaged journal lines were left out")


def test_a_damaged_run_leaves_the_older_file_as_it_was(tmp_path: Path) -> None:
    run = given(tmp_path / "run")
    (tmp_path / "x.zip").write_bytes(b"older")
    run.manifest_path.write_text("{", encoding="utf-8")
    with pytest.raises(StorageError, match="damaged"):
        write.write_bundle(run, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.zip"]


def test_a_folder_in_the_place_of_the_file_stays(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is a folder"):
        write.write_bundle(given(tmp_path / "run"), tmp_path)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = given(tmp_path / "run")
    monkeypatch.setattr(write, "add_member", full)
    with pytest.raises(StorageError, match="No space left"):
        write.write_bundle(run, tmp_path / "x.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


# ---- importing


def test_an_imported_run_is_the_next_one_here_whole_and_marked(
    tmp_path: Path, own_runs: Path
) -> None:
    write.write_bundle(given(tmp_path / "run", number=77), tmp_path / "x.zip")
    directory.create()  # somebody measures meanwhile

    run = read.import_bundle(tmp_path / "x.zip")

    assert run.path == own_runs / "000002"
    assert sorted(path.name for path in run.path.iterdir()) == [
        "journal.jsonl",
        "manifest.json",
        "origin.json",
        "run.json",
    ]
    assert verify(run) == []
    found = bundle_members.read_origin(run)
    assert found is not None
    assert found.bundle_sha256 == hashlib.sha256((tmp_path / "x.zip").read_bytes()).hexdigest()
    assert run.replay().manifest.run_id == f"{77:032x}"
    assert directory.find(f"{77:032x}") == run
    assert [path.name for path in own_runs.glob(".import")] == []


def test_an_imported_run_is_given_away_as_the_same_bytes(tmp_path: Path, own_runs: Path) -> None:
    for texts in (True, False):
        write.write_bundle(
            given(tmp_path / f"run{texts}", number=2 + texts), tmp_path / "x.zip", texts=texts
        )
        run = read.import_bundle(tmp_path / "x.zip")
        write.write_bundle(run, tmp_path / "again.zip")
        assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_the_same_bundle_twice_is_one_run(tmp_path: Path, own_runs: Path) -> None:
    write.write_bundle(given(tmp_path / "run"), tmp_path / "x.zip")
    first, second = (
        read.import_verified(tmp_path / "x.zip"),
        read.import_verified(tmp_path / "x.zip"),
    )
    assert (first.new, second.new) == (True, False)
    assert first.run == second.run
    assert len(directory.every()) == 1


def test_tools_that_import_one_bundle_at_once_make_one_run(tmp_path: Path, own_runs: Path) -> None:
    write.write_bundle(given(tmp_path / "run"), tmp_path / "x.zip")
    command = [sys.executable, "-m", "mac_whisper_speedtest", "results", "import"]
    tools = [
        subprocess.Popen([*command, str(tmp_path / "x.zip")], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [tool.communicate()[0] for tool in tools]
    assert [tool.returncode for tool in tools] == [0, 0, 0]
    assert sum("already" in each for each in said) == 2
    assert [verify(run) for run in directory.every()] == [[]]


def test_a_run_of_ones_own_comes_back_as_itself(tmp_path: Path, own_runs: Path) -> None:
    run = given(own_runs / "000005")
    for texts in (True, False):
        write.write_bundle(run, tmp_path / "x.zip", texts=texts)
        assert read.import_verified(tmp_path / "x.zip") == read.Imported(run, new=False)


def test_other_samples_under_a_known_id_are_refused(tmp_path: Path, own_runs: Path) -> None:
    write.write_bundle(given(tmp_path / "run"), tmp_path / "x.zip")
    read.import_verified(tmp_path / "x.zip")
    other = with_line(tmp_path / "x.zip", "sample", seconds=0.5, wall_s=0.5)
    with pytest.raises(UsageError, match="has the id of run 1"):
        read.import_verified(other)
    assert len(directory.every()) == 1


def test_an_import_that_fails_takes_no_number(
    tmp_path: Path, own_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write.write_bundle(given(tmp_path / "run"), tmp_path / "x.zip")
    with monkeypatch.context() as patch:
        patch.setattr(bundle_members, "write_origin", full)
        with pytest.raises(StorageError, match="No space left"):
            read.import_verified(tmp_path / "x.zip")
    assert [path.name for path in own_runs.iterdir() if path.is_dir()] == []
    assert read.import_verified(tmp_path / "x.zip").run.number == 1


def test_an_endings_words_are_those_that_are_believed() -> None:
    from mac_whisper_speedtest.results import plausible

    assert set(Status) == plausible.STATUSES


# ---- kill -9

_DIES = """
import os, signal, sys
from pathlib import Path
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.bundle import read, write

what, source, *points = sys.argv[1:]


def act(folder):
    if what == "bundle":
        write.write_bundle(RunDirectory(Path(source)), folder / "x.zip")
    else:
        os.environ["SPEEDTEST_DATA_DIR"] = str(folder)
        read.import_verified(Path(source))


def dies_at(last):
    done = 0

    def look(frame, event, argument):
        nonlocal done
        code = frame.f_code.co_filename
        if "mac_whisper_speedtest" not in code and "zipfile" not in code and "shutil" not in code:
            return None
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return look

    sys.settrace(look)
    return lambda: done


for point in points:
    last, _, folder = point.partition(":")
    child = os.fork()
    if not child:
        seen = dies_at(int(last))
        act(Path(folder))
        sys.settrace(None)
        print(seen(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def _killed(what: str, source: Path, root: Path) -> list[Path]:
    """Folders in which ``what`` was killed, each at another seeded line of the program."""

    def call(*points: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", _DIES, what, str(source), *points],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    (root / "whole").mkdir(parents=True)
    lines_run = int(call(f"0:{root / 'whole'}"))
    assert lines_run > 100
    # Most lines are samples'; a third of the points is among the last, where files are renamed.
    rnd = random.Random(6)
    at = [rnd.randint(1, lines_run) for _ in range(POINTS - POINTS // 3)]
    at += [rnd.randint(max(lines_run - 1500, 1), lines_run) for _ in range(POINTS // 3)]
    folders = [root / f"{number}-{line}" for number, line in enumerate(at)]
    for folder in folders:
        folder.mkdir()
    call(*(f"{line}:{folder}" for line, folder in zip(at, folders, strict=True)))
    return folders


def test_a_bundle_is_whole_or_not_there_whenever_it_is_killed(tmp_path: Path) -> None:
    run = given(tmp_path / "run", rounds=2)
    for folder in _killed("bundle", run.path, tmp_path / "killed"):
        if (folder / "x.zip").exists():
            read.read_bundle(folder / "x.zip")
        write.write_bundle(run, folder / "x.zip")
        assert summaries(read.read_bundle(folder / "x.zip")) == summaries(summarize(run.replay()))


def test_an_import_is_whole_or_not_there_whenever_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.write_bundle(given(tmp_path / "run", rounds=2), tmp_path / "x.zip")
    for folder in _killed("import", tmp_path / "x.zip", tmp_path / "killed"):
        monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(folder))
        for run in directory.every():
            assert verify(run) == []
        run = read.import_verified(tmp_path / "x.zip").run
        assert verify(run) == []
        assert directory.every() == [run]
        assert json.loads(run.sealed_path.read_text(encoding="utf-8"))["cells"]
        assert not (run.path.parent / ".import").exists()
