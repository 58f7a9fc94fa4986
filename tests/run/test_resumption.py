"""Which run ``--resume`` goes on with, and what keeps it from going on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from fakes.resumed import Dutiful, latest, measure
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import resume
from mac_whisper_speedtest.run.prepare import Prepared, manifest
from mac_whisper_speedtest.weights.locate import Weights


@pytest.fixture(autouse=True)
def _no_other_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))


def cut_off(ready: Prepared) -> directory.RunDirectory:
    """A run whose tool was killed."""
    assert measure(ready, Dutiful(), dies_after=9) is None
    return latest()


def complete(ready: Prepared) -> directory.RunDirectory:
    done = measure(ready, Dutiful())
    assert done is not None
    return done[0]


def with_speech(
    ready: Prepared, *, level: float = 0.1, words: str = "the best of times"
) -> Prepared:
    clip = Recording("short", np.full(32000, level, np.float32), words, "en", "made here")
    return replace(ready, speech=AudioSet("short", (clip,), "made here", "clip"))


def test_the_newest_unfinished_run_of_the_same_request_is_gone_on_with(
    prepared: Callable[..., Prepared],
) -> None:
    cut_off(prepared())
    run = cut_off(prepared())
    cut_off(prepared(seed=1))
    found = resume.decide(prepared())
    assert (found.run, found.complete) == (run, False)
    assert found.words[0].startswith("Resuming run 2, which has ")


def test_a_request_that_was_measured_already_is_not_measured_again(
    prepared: Callable[..., Prepared],
) -> None:
    complete(prepared())
    run = complete(prepared())
    found = resume.decide(prepared())
    assert (found.run, found.complete) == (run, True)
    assert found.words == ["Run 2 is complete: nothing to resume."]
    assert resume.decide(prepared(), str(run.number)).complete


def test_an_unfinished_run_goes_before_a_complete_one(prepared: Callable[..., Prepared]) -> None:
    run = cut_off(prepared())
    complete(prepared())
    assert resume.decide(prepared()).run == run


def test_without_such_a_run_a_new_one_is_begun(prepared: Callable[..., Prepared]) -> None:
    assert resume.decide(prepared()).run is None
    complete(prepared(rounds=4))
    found = resume.decide(prepared())
    assert found.run is None
    assert found.words == ["No unfinished run of this request: starting a new one."]


def test_speech_that_is_not_the_same_any_more_is_said_and_measured_anew(
    prepared: Callable[..., Prepared],
) -> None:
    cut_off(prepared())
    found = resume.decide(with_speech(prepared(), level=0.2))
    assert found.run is None
    assert "Cannot resume run 1: the speech short: " in found.words[0]


def test_a_changed_request_is_refused_field_by_field(prepared: Callable[..., Prepared]) -> None:
    run = cut_off(prepared())
    other = prepared(rounds=4, seed=7, threads=2)
    with pytest.raises(UsageError) as caught:
        resume.decide(other, str(run.number))
    assert caught.value.message == (
        "cannot resume run 1, because the request differs: rounds 3 → 4; seed 0 → 7; threads 1 → 2"
    )
    assert caught.value.hint


def test_a_run_that_is_being_measured_right_now_is_left_alone(
    prepared: Callable[..., Prepared],
) -> None:
    run = cut_off(prepared())
    with journal.Journal(run.journal_path):
        for wanted in (None, "1"):
            with pytest.raises(UsageError, match="run 1 is being measured by another"):
                resume.decide(prepared(), wanted)
        with pytest.raises(StorageError, match="another speedtest is writing"):
            measure(prepared(), Dutiful(), resume=run)
    assert resume.decide(prepared()).run == run


def test_a_run_of_another_tag_is_another_run(prepared: Callable[..., Prepared]) -> None:
    complete(prepared(tags=("base",)))
    assert resume.decide(prepared(tags=("base",))).complete
    assert resume.decide(prepared()).complete  # no tag is no demand
    assert resume.decide(prepared(tags=("after",))).run is None
    with pytest.raises(UsageError, match="it is not tagged after"):
        resume.decide(prepared(tags=("after",)), "1")


def test_another_release_of_a_backend_is_another_measurement(
    prepared: Callable[..., Prepared],
) -> None:
    asked: list[str] = []

    def versions(backend: Backend, *, threads: int) -> tuple[str, Mapping[str, str]]:
        asked.append(backend.name)
        return ("1.1" if backend.name == "a" else "1.0"), {"torch": "2"}

    def loading(ready: Prepared) -> None:
        """A run that was killed after its workers had said what they are."""
        run = cut_off(ready)
        with journal.Journal(run.journal_path) as book:
            for cell in ready.cells:
                book.append(loaded(cell.id))

    loading(prepared())
    found = resume.decide(prepared(), versions=versions)
    assert found.run is None
    assert found.words[0] == "Cannot resume run 1: a 1.0 → 1.1."
    assert asked == ["a", "b", "c"]
    with pytest.raises(UsageError, match=r"a 1\.0 → 1\.1"):
        resume.decide(prepared(), "1", versions=versions)


def loaded(cell: str) -> s.Loaded:
    return s.Loaded(
        cell=cell,
        round=0,
        attempt=0,
        version="1.0",
        versions={"torch": "2"},
        device="cpu",
        device_asked="auto",
        precision_asked="auto",
        precision="float32",
        details={},
        spawn_s=None,
        import_s=None,
        hello_wall_s=0.1,
        load_s=0.1,
        load_wall_s=0.1,
    )


def test_a_cell_that_was_not_there_when_the_run_began_stays_unavailable(
    prepared: Callable[..., Prepared],
) -> None:
    name = "b/tiny.en/short"
    before = replace(
        prepared(),
        unavailable={name: "not installed"},
        weights={key: each for key, each in prepared().weights.items() if key != name},
    )
    cut_off(before)
    found = resume.decide(prepared())
    assert found.run is not None
    assert found.prepared.unavailable == {
        name: "was unavailable when this run began; start a new run to measure it"
    }


def test_what_the_microphone_hears_is_never_the_same_again() -> None:
    with pytest.raises(UsageError, match="cannot be used with --mic"):
        resume.check(Request(models=(), mic=True))
    resume.check(Request(models=()))


@pytest.fixture
def then(prepared: Callable[..., Prepared]) -> s.Manifest:
    return manifest(prepared(), run=1, schedule=())


def test_equal_manifests_have_no_changes(
    then: s.Manifest, prepared: Callable[..., Prepared]
) -> None:
    now = manifest(prepared(), run=2, schedule=())
    assert resume.changes(then, now) == []
    assert resume.remarks(then, now) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("cpu", "another", "the machine: "),
        ("memory_bytes", 3 << 30, "the machine: "),
    ],
)
def test_another_kind_of_machine_is_a_change(
    then: s.Manifest, field: str, value: object, said: str
) -> None:
    machine = msgspec.structs.replace(then.machine, **{field: value})
    now = msgspec.structs.replace(then, machine=machine)
    (found,) = resume.changes(then, now)
    assert found.startswith(said)


def test_other_words_for_the_same_speech_are_a_change(
    then: s.Manifest, prepared: Callable[..., Prepared]
) -> None:
    now = manifest(with_speech(prepared(), words="the worst of times"), run=2, schedule=())
    assert resume.changes(then, now) == ["the reference texts of short"]


def test_other_weights_are_a_change(then: s.Manifest, prepared: Callable[..., Prepared]) -> None:
    ready = prepared()
    name = ready.cells[0].id
    other = Weights("tiny.en", "own", "float16", Path("w"), {"w.bin": "f" * 64}, 0, "made here")
    now = manifest(replace(ready, weights={**ready.weights, name: other}), run=2, schedule=())
    assert resume.changes(then, now) == [f"the weights of {name}: no files → ffffffffffff"]
    gone = {key: each for key, each in ready.weights.items() if key != name}
    now = manifest(replace(ready, weights=gone), run=2, schedule=())
    assert resume.changes(then, now) == [f"the weights of {name} are no longer here"]


def test_a_setting_of_the_contract_is_named(
    then: s.Manifest, prepared: Callable[..., Prepared]
) -> None:
    asked = prepared().request
    contract = {**asked.contract, "beam_size": 5}
    now = manifest(prepared(contract=contract), run=2, schedule=())
    assert resume.changes(then, now) == ["contract.beam_size 1 → 5"]


def test_another_release_of_this_tool_is_only_remarked_on(then: s.Manifest) -> None:
    tool = msgspec.structs.replace(then.tool, version="99.0", git_sha="0" * 40)
    now = msgspec.structs.replace(then, tool=tool)
    assert resume.changes(then, now) == []
    (remark,) = resume.remarks(then, now)
    assert remark.endswith("and is 99.0 (000000000000)")
