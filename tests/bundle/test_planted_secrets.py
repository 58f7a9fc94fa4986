"""Secrets that were planted on this machine and in a run appear in nothing that is given away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.planted import (
    HOST,
    KEY,
    MAC,
    OUTPUTS,
    SERIAL,
    TOKEN,
    USER,
    Measured,
    Planted,
    bundled,
    measure,
    planting,
    unzipped,
)
from fakes.recordings import collection
from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest import privacy
from mac_whisper_speedtest.bundle import read, write
from mac_whisper_speedtest.bundle.fields import POLICIES
from mac_whisper_speedtest.bundle.leak_scan import LeakScanner
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A user and a host of those names, and secrets in the environment."""
    with planting(tmp_path_factory.mktemp("people"), seed=1) as found:
        yield found


@pytest.fixture(scope="module")
def measured(planted: Planted) -> Measured:
    """A real run on that machine."""
    return measure(planted)


def test_the_backends_did_tell(measured: Measured) -> None:
    good, bad = measured.run.replay().cells
    assert "<token>" in good.backend.details["weights"]
    assert "cannot go on" in bad.endings[0].message
    assert "cannot open" in bad.endings[0].log_tail
    assert b"worker_ended" in measured.said


@pytest.mark.parametrize("name", OUTPUTS)
def test_no_output_of_a_real_run_has_a_planted_secret(
    measured: Measured, planted: Planted, tmp_path: Path, name: str
) -> None:
    data = OUTPUTS[name](measured, tmp_path)
    assert len(data) > 200
    assert planted.found(data) == []


def test_the_bundle_does_not_even_have_the_recordings_name_or_the_log(
    measured: Measured, tmp_path: Path
) -> None:
    data = bundled(measured, tmp_path)
    assert b"talks" not in data
    assert b'"details":{"weights":"cannot open <path> with <token> and <token> as <user>@' in data
    assert b'"other":' not in data
    assert b'"log_tail":""' in data


# ---- a run that was not scrubbed: every text field of everything that is written


def _every_event() -> list[s.Event]:
    """One of each, with a text wherever there can be one."""
    cell = "fast/tiny.en/speech"
    at: dict[str, Any] = {"round": 0, "attempt": 0}
    conditions = s.ConditionsInfo(values={"power_source": "mains"}, unknown={"hottest_c": "none"})
    tool = s.ToolInfo(name="mac-whisper-speedtest", version="0.1.0", git_sha="0" * 40)
    found: list[s.Event] = [
        s.WorkerStarted(cell=cell, **at),
        s.Metered(
            cell=cell,
            audio_s=0.0,
            wall_s=1.0,
            readings={"energy_j": s.ReadingInfo(value=None, unit="J", reason="no", quality="no")},
            **at,
        ),
        s.RoundWatched(
            round=0, before=conditions, after=conditions, changes=["battery"], flagged="battery"
        ),
        s.Decided(after=1, until=2, look=0, level=0.95, cells=[cell], reason="too wide"),
        s.RoundSkipped(cell=cell, round=5, status="ok", error_class="Budget", message="used up"),
        s.Resumed(at="2026-11-20T10:00:00Z", tool=tool),
    ]
    gpu = s.GpuInfo(name="NVIDIA L4", memory_bytes=1, capability="8.9", power_limit_w=72.0)
    texts = {
        "gpu": gpu,
        "details": {"blas": "OpenBLAS"},
        "versions": {"python": "3.11"},
        "warnings": ["slow"],
        "rung_note": "cold",
        "compile_cache": "there",
        "thread_variables": {"OMP_NUM_THREADS": "4"},
        "device_asked": "auto",
        "precision_asked": "auto",
        "segments": [s.SegmentInfo(start_s=0.0, end_s=1.0, text="she")],
        "disturbed": "busy",
        "stages_s": {"encode": 0.1},
        "allocator_bytes": {"mlx_peak_bytes": 1},
        "observed": ["language"],
        "remarks": ["pads"],
        "error_class": "ValueError",
        "message": "no",
        "log_tail": "no",
        "weights_found": "damaged",
        "repaired": ["fetched again"],
        "stage": "load",
    }
    for event in run_of_set(FakeCell("fast"), rounds=1).events:
        own = {name: texts[name] for name in event.__struct_fields__ if name in texts}
        found.append(msgspec.structs.replace(event, **own))
        if isinstance(event, s.Sample):
            failure = {"failed": "ValueError: no", "text": "", "segments": []}
            found.append(msgspec.structs.replace(found[-1], **failure))
    return found


def _every_manifest() -> s.Manifest:
    """One with a text wherever there can be one."""
    replace = msgspec.structs.replace
    manifest = run_of_set(FakeCell("fast"), rounds=1, tags=["base"]).manifest
    left_out = [s.LeftOutInfo(name="u3", reason="empty")]
    (clip,), (plan,) = manifest.clips, manifest.cells
    clip = replace(clip, reference="she", left_out=left_out, unscored=left_out)
    return replace(
        manifest,
        tool=replace(manifest.tool, git_sha="0" * 40),
        clips=[clip],
        cells=[
            replace(
                plan,
                declared={"language": "en"},
                model_info=replace(plan.model_info, revision="0" * 40),
            )
        ],
        outcome=s.Outcome(state="complete", message="done"),
        repaired=["tiny.en: fetched again"],
        host=["caffeinate -ims"],
        libraries={"av": "18"},
        machine=replace(
            manifest.machine,
            unknown={"gpus": "no driver"},
            os_build="25C56",
            hardware_model="Mac15,7",
            core_kinds={"Performance": 6, "Efficiency": 6},
            nvidia=[s.GpuInfo(name="L4", memory_bytes=1, capability="8.9", power_limit_w=72.0)],
            nvidia_driver="580.65",
            cuda="13.0",
        ),
        request=replace(manifest.request, reference_backend="fast", affinity=(0,)),
        noise=s.NoiseInfo(
            floor=0.01,
            smallest_detectable=0.02,
            spread=0.01,
            ratio=1.0,
            verdict="SAME",
            rounds=6,
            rounds_for={"0.01": 30},
            backend="fast",
            model="tiny.en",
            measured_at="2026-11-20T10:00:00Z",
        ),
    )


def _plant(value: Any, kind: type[s.Struct], field: str, words: str) -> Any:
    """``value`` with the words in that field of every struct of that kind inside it."""
    if isinstance(value, s.Struct):
        changed = {
            name: _worded(inner, words)
            if (type(value), name) == (kind, field)
            else _plant(inner, kind, field, words)
            for name in value.__struct_fields__
            if not isinstance(inner := getattr(value, name), str | int | float | None)
            or (type(value), name) == (kind, field)
        }
        if isinstance(value, s.Sample) and field == "failed":
            changed |= {"text": "", "segments": []}
        return msgspec.structs.replace(value, **changed)
    if isinstance(value, list | tuple):
        return [_plant(each, kind, field, words) for each in value]
    if isinstance(value, dict):
        return {key: _plant(each, kind, field, words) for key, each in value.items()}
    return value


def _worded(value: Any, words: str) -> Any:
    if isinstance(value, str):
        return words
    if isinstance(value, list | tuple):
        return [_worded(each, words) for each in value]
    if isinstance(value, dict):
        planted = {key: _worded(each, words) for key, each in value.items()}
        return {**planted, words: next(iter(planted.values()))}
    return value


TEXT_FIELDS = [
    (kind, field)
    for kind, fields in POLICIES.items()
    for field, how in fields.items()
    if how is not FieldPolicy.INSIDE
]


CLIP_NAMES = ((s.ClipInfo, "name"), (s.CellPlan, "clip"))


@pytest.mark.parametrize(
    ("kind", "field"), TEXT_FIELDS, ids=[f"{kind.__name__}.{field}" for kind, field in TEXT_FIELDS]
)
def test_a_secret_in_any_field_is_taken_out_or_nothing_is_written(
    planted: Planted, tmp_path: Path, kind: type[s.Struct], field: str
) -> None:
    manifest, events = _every_manifest(), _every_event()
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    given = _plant(manifest, kind, field, planted.words)
    if (kind, field) in CLIP_NAMES:  # a run names its clips in one way
        for owner, name in CLIP_NAMES:
            given = _plant(given, owner, name, planted.words)
    run.write_manifest(given)
    with Journal(run.journal_path) as lines:
        for event in events:
            if isinstance(event, s.Metered) and field == "failed":
                continue  # nothing was transcribed then
            lines.append(_plant(event, kind, field, planted.words))
    there = planted.found(run.manifest_path.read_bytes() + run.journal_path.read_bytes())
    written, refused = False, ""
    try:
        write.write_bundle(run, tmp_path / "x.zip")
        written = True
    except UsageError as error:
        refused = error.message
    assert written is (tmp_path / "x.zip").exists()
    if written:
        assert planted.found(unzipped(tmp_path / "x.zip")) == []
        # Else it would be no test: a field without texts holds no secret.
        assert there or POLICIES[kind][field] is FieldPolicy.KEPT
    else:
        assert planted.found(refused.encode()) == []
        # A word where only some can stand: what is left of it would not be read again.
        impossible = "would be refused" in refused
        assert impossible or f".{field}" in refused
        assert POLICIES[kind][field] in {
            FieldPolicy.KEPT,
            FieldPolicy.NAME,
            FieldPolicy.SAID,
            FieldPolicy.REFERENCE,
            FieldPolicy.FILES,
            *([FieldPolicy.CELL, FieldPolicy.UTTERANCE] if impossible else []),
        }


# ---- words that are no secret


@pytest.mark.parametrize("user", ["whisper", "tiny", "sells", "speedtest", "fast"])
def test_a_user_whose_name_everybody_uses_can_give_runs_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: str
) -> None:
    monkeypatch.setenv("LOGNAME", user)
    privacy._names.cache_clear()
    try:
        run = RunDirectory(run_of_set(FakeCell("fast"), rounds=1).write(tmp_path / "run"))
        write.write_bundle(run, tmp_path / "x.zip")
    finally:
        privacy._names.cache_clear()
    assert b"she sells sea shells" in unzipped(tmp_path / "x.zip")


SPOKEN = (
    "my password: hunter2 and the api_key=abc123, said the cookie: a=b; her token is 0x1F5, "
    "key: 42 % of https://example.org?token=yes, Basic instinct, -----BEGIN a story"
)


def test_what_is_said_about_secrets_stays_word_for_word(planted: Planted, tmp_path: Path) -> None:
    said = {"u1": SPOKEN, "u2": "by the sea shore"}
    run = run_of_set(FakeCell("fast"), rounds=6, speech=collection(said))
    write.write_bundle(RunDirectory(run.write(tmp_path / "run")), tmp_path / "x.zip")
    (cell,) = read.read_bundle(tmp_path / "x.zip").cells
    assert {each.text for each in cell.samples} == {SPOKEN, "by the sea shore"}
    assert cell.clip.utterances[0].reference == SPOKEN
    assert cell.summary is not None
    assert cell.summary.wer == 0


@pytest.mark.parametrize("secret", [TOKEN, KEY])
def test_a_secret_in_a_transcript_is_a_reason_to_write_nothing(
    planted: Planted, tmp_path: Path, secret: str
) -> None:
    run = run_of_set(FakeCell("fast", text=f"it is {secret}"), rounds=1)
    with pytest.raises(UsageError, match=r"give away a token, in Sample\.text") as error:
        write.write_bundle(RunDirectory(run.write(tmp_path / "run")), tmp_path / "x.zip")
    assert "unset that variable" in error.value.hint


@pytest.mark.parametrize(
    "text", [TOKEN, f"x {KEY}", f"{USER}_1", f"on {HOST.upper()}", f"at {MAC}", f"no. {SERIAL}"]
)
def test_the_last_look_finds_what_the_list_would_have_let_pass(planted: Planted, text: str) -> None:
    assert LeakScanner().found(text, FieldPolicy.SCRUBBED)
    line = msgspec.json.encode(s.RunEnded(state="complete", message=f'"{text}"\\'))
    with pytest.raises(UsageError, match=r"RunEnded\.message") as error:
        LeakScanner().refuse(line, "line 1", s.Event)
    assert planted.found(error.value.message.encode()) == []
