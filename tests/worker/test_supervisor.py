"""The supervisor and hostile workers: real processes, each with one thing wrong."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import FAKES
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.worker import process_tree, supervisor
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.exit_status import Status, WorkerExit, WorkerFailureError
from mac_whisper_speedtest.worker.launch import Launch, launch
from mac_whisper_speedtest.worker.process import CRASH_GRACE_S
from mac_whisper_speedtest.worker.supervisor import Answer, Deadlines, Worker

ENGINE = FAKES / "hostile_engine.py"
AUDIO_S = 2.0
QUICK = Deadlines(spawn_s=10, import_s=10, load_s=10, transcribe_s=1.5, shutdown_s=1.5)


class Heard(Observer):
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))


def conversation(
    tmp_path: Path, spec: dict[str, Any], deadlines: Deadlines = QUICK, calls: int = 2
) -> tuple[list[Answer[m.TranscribeResult]], WorkerExit, Heard]:
    """Talk to a hostile engine until it fails or has answered all calls."""
    heard = Heard()
    attack = tmp_path / "attack.json"
    attack.write_text(json.dumps(spec), encoding="utf-8")
    command = (sys.executable, "-I", "-S", str(ENGINE), str(attack))
    started = launch(Backend(name="hostile", command=command), scratch=tmp_path, threads=1)
    assert started is not None
    params = m.TranscribeParams(
        m.AudioParams(str(tmp_path / "audio.f32"), int(AUDIO_S * 16000)), DecodeContract()
    )
    answers = []
    try:
        with Worker(started, deadlines, observer=heard) as worker:
            worker.hello()
            worker.load(LoadParams(ModelParams("tiny", "/weights", "own")))
            for _ in range(calls):
                answers.append(worker.transcribe(params))  # noqa: PERF401 - keeps those before
            ending = worker.shutdown()
    except WorkerFailureError as failure:
        ending = failure.ending
    return answers, ending, heard


def test_an_honest_engine_is_heard_out(tmp_path: Path) -> None:
    answers, ending, _ = conversation(tmp_path, {})
    assert ending.status is Status.OK
    assert [each.value.text for each in answers] == ["And so, my fellow Americans."] * 2
    assert all(0 < each.value.seconds <= each.wall_s for each in answers)


ABSURD: list[tuple[str, str, Any]] = [
    *(("transcribe", "seconds", each) for each in (
        0, -0.0, -1, 5e-324, 1e-9, 1.7e308, 30.0, "@raw:1e999", "@raw:NaN", "1.0", None, True,
        10**400,
    )),
    *(("transcribe", "cpu_s", each) for each in (-0.1, 1e300, 1e6, "@raw:-1e999")),
    *(("transcribe", "tokens", each) for each in (-1, 10**9, 1 << 63, 10**400, 1.5)),
    *(("transcribe", "fallbacks", each) for each in (-1, 10**9)),
    *(("transcribe", "peak_rss_bytes", each) for each in (-1, 1 << 62, 10**30)),
    *(("transcribe", "first_segment_s", each) for each in (-1, 2.0)),
    *(("transcribe", "stages_s", each) for each in (
        {"mel": -1}, {"mel": 1e300}, {"mel": "@raw:1e999"}, {"@long:400": 0.0},
        {f"s{number}": 0.0 for number in range(101)},
    )),
    *(("transcribe", "allocator_bytes", each) for each in (
        {"x": -1}, {"x": 1 << 62}, {f"s{number}": 0 for number in range(101)},
    )),
    *(("transcribe", "segments", [{"start_s": 0.0, "end_s": 1.0, "text": "", **each}]) for each in (
        {"start_s": -5.0}, {"end_s": 100.0}, {"end_s": "@raw:1e999"}, {"text": "@long:100000"},
        {"text": None},
    )),
    ("transcribe", "segments", ["@times", 70_000, {"start_s": 0.0, "end_s": 0.0, "text": ""}]),
    ("transcribe", "text", "@long:100000"),
    ("transcribe", "text", "@long:9000000"),
    ("transcribe", "text", "\ud800"),
    ("transcribe", "language", "@long:400"),
    ("transcribe", "effective", {"beam_size": "@raw:1e999"}),
    ("transcribe", "effective", {"temperatures": [1e300]}),
    ("transcribe", "effective", {"@long:400": 1}),
    ("transcribe", "effective", {f"s{number}": 1 for number in range(101)}),
    ("transcribe", "observed", ["x"] * 101),
    ("transcribe", "observed", ["@long:400"]),
    ("transcribe", "remarks", ["x"] * 101),
    ("hello", "version", ""),
    ("hello", "version", " \n"),
    ("hello", "version", "@long:3000000"),
    ("hello", "name", ""),
    ("hello", "name", "@long:400"),
    ("hello", "versions", {f"s{number}": "1" for number in range(101)}),
    ("hello", "import_s", -1),
    ("hello", "import_s", 100.0),
    ("hello", "protocol", 10**400),
    ("load", "load_s", -1e-9),
    ("load", "load_s", 60.0),
    ("load", "device", "@long:400"),
    ("load", "precision", "@long:400"),
    ("load", "details", {"@long:400": "1"}),
    ("load", "peak_rss_bytes", -5),
    *(("load", "gpu", each) for each in (
        {"uuid": "GPU-0"}, {"uuid": "../../etc"}, {"pci": "0000:65:00.0\n"}, {"name": "@long:400"},
        {"capability": "9"}, {"cuda": "\u0661.0"}, {"memory_bytes": -1}, {"memory_bytes": 1 << 62},
    )),
    ("load", "peak_rss_before_bytes", 1 << 63),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "name", "value"), ABSURD, ids=[f"{each[1]}={str(each[2])[:30]}" for each in ABSURD]
)
def test_a_value_that_cannot_be_true_violates_the_protocol(
    tmp_path: Path, method: str, name: str, value: Any
) -> None:
    answers, ending, _ = conversation(tmp_path, {method: {name: value}})
    assert answers == []
    assert ending.status is Status.PROTOCOL_VIOLATION
    assert len(ending.message) < 500
    assert ending.message.isprintable()


LETTERS = "a\x1b[31mb\x07\x9b\u202ec\r\nd\ttoken=hf_AAAAAAAAAAAAAAAAAAAAAA"


def test_texts_are_cleaned_of_control_characters_and_secrets_before_they_are_cut(
    tmp_path: Path,
) -> None:
    secret = "hf_" + "B" * 30
    late = "x" * 1980 + " " + secret + " " + "y" * 3000
    spec = {
        "hello": {"name": LETTERS, "version": LETTERS, "versions": {LETTERS: late}},
        "load": {"device": LETTERS, "precision": LETTERS, "details": {LETTERS: late}},
        "transcribe": {
            "text": LETTERS,
            "segments": [{"start_s": 0.0, "end_s": 1.0, "text": LETTERS}],
            "language": LETTERS,
            "effective": {LETTERS: LETTERS, "beam_size": -1},
            "observed": [LETTERS],
            "remarks": [LETTERS, late],
            "stages_s": {LETTERS: 0.0},
            "allocator_bytes": {LETTERS: 1},
        },
        "do": "notify",
        "with": {"level": LETTERS, "message": late},
    }
    (first, _), ending, heard = conversation(tmp_path, spec)
    value = first.value
    assert value.text == "a\ufffd[31mb\ufffd\ufffd\ufffdc\nd\ttoken=hf_AAAAAAAAAAAAAAAAAAAAAA"
    assert value.segments[0].text == value.text
    line = "a\ufffd[31mb\ufffd\ufffd\ufffdc d token=<token>"
    assert value.language == line
    assert value.effective == {line: line, "beam_size": -1}
    assert value.observed == [line]
    assert value.remarks[0] == line
    assert list(value.stages_s) == list(value.allocator_bytes) == [line]
    (level, logged), *_ = heard.lines
    assert level == "info"
    for each in (logged, value.remarks[1]):
        assert len(each) == 2000
        assert "BBBB" not in each
    assert ending.status is Status.OK


def test_an_error_answer_is_cleaned_too(tmp_path: Path) -> None:
    error = {
        "code": -32005,
        "message": LETTERS.replace("\r\n", " ") + " @long:9000\nsecond line",
        "data": {"error_class": LETTERS, "traceback": LETTERS + "\n@long:30000 end"},
    }
    _, ending, _ = conversation(tmp_path, {"do": "error", "with": error})
    assert ending.status is Status.FAILED
    assert ending.message.startswith("a\ufffd[31mb\ufffd\ufffd\ufffdc d token=<token>")
    assert len(ending.message) == 2000
    assert len(ending.error_class) <= 300
    assert len(ending.log_tail) <= 16 * 1024
    assert ending.log_tail.endswith(" end")
    assert not any(each in ending.log_tail for each in "\x1b\x07\x9b\u202e\r")


@pytest.mark.parametrize("levels", [65, 980, 1000, 100_000, 4_000_000])
@pytest.mark.parametrize("kind", ["answer", "notification"])
def test_deep_nesting_violates_the_protocol_at_once(tmp_path: Path, levels: int, kind: str) -> None:
    deep = f"@nest:{levels}"
    spec = (
        {"transcribe": {"unknown": deep}}
        if kind == "answer"
        else {"do": "notify", "with": {"method": "progress", "stage": "load", "unknown": deep}}
    )
    answers, ending, _ = conversation(tmp_path, spec, Deadlines(warmup_s=60, transcribe_s=60))
    assert answers == []
    assert ending.status is Status.PROTOCOL_VIOLATION
    assert "nested deeper than 64" in ending.message


@pytest.mark.parametrize(
    ("attack", "status"),
    [
        ({"do": "reply", "with": {"id": "1" * 100_000}}, Status.PROTOCOL_VIOLATION),
        ({"do": "reply", "with": {"id": None}}, Status.PROTOCOL_VIOLATION),
        ({"do": "reply", "with": {"jsonrpc": "@long:1000"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "reply", "with": {"method": "@long:1000"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "reply", "with": {"error": {"code": 1, "message": ""}}}, Status.PROTOCOL_VIOLATION),
        ({"do": "error", "with": {"code": 10**400, "message": ""}}, Status.PROTOCOL_VIOLATION),
        ({"do": "error", "with": {"code": -(1 << 40), "message": ""}}, Status.PROTOCOL_VIOLATION),
        ({"do": "error", "with": {"code": 1, "message": ""}}, Status.FAILED),
        ({"do": "raw", "with": {"hexadecimal": "ff00fe0a"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "raw", "with": {"text": "\n"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "raw", "with": {"text": "[]\n"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "raw", "with": {"text": '{"jsonrpc'}}, Status.TIMEOUT),
        ({"do": "drip", "with": {"hang": True}}, Status.TIMEOUT),
        ({"do": "twice"}, Status.PROTOCOL_VIOLATION),
        ({"do": "close", "with": {"which": "stdout"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "close", "with": {"which": "all"}}, Status.PROTOCOL_VIOLATION),
        ({"do": "close", "with": {"which": "stderr"}}, Status.TIMEOUT),
        ({"do": "leave", "with": {"status": 3}}, Status.CRASHED),
        ({"do": "hang", "at": "shutdown"}, Status.TIMEOUT),
    ],
    ids=lambda each: str(each)[:60],
)
def test_an_attack_ends_within_its_deadline_and_under_its_name(
    tmp_path: Path, attack: dict[str, Any], status: Status
) -> None:
    began = time.monotonic()
    _, ending, _ = conversation(tmp_path, attack)
    assert ending.status is status
    assert time.monotonic() - began < 5 + CRASH_GRACE_S
    assert len(ending.message) < 500


@pytest.mark.parametrize(
    ("grace_s", "status"), [(0.5, Status.PROTOCOL_VIOLATION), (10.0, Status.CRASHED)]
)
def test_a_crash_that_the_system_holds_up_is_one_within_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grace_s: float, status: Status
) -> None:
    monkeypatch.setattr(supervisor, "CRASH_GRACE_S", grace_s)
    _, ending, _ = conversation(tmp_path, {"do": "close", "with": {"crash_after_s": 2.0}})
    assert ending.status is status
    assert (ending.error_class == "SIGSEGV") == (status is Status.CRASHED)


def test_an_answer_with_invalid_utf_8_inside_is_a_violation(tmp_path: Path) -> None:
    line = b'{"jsonrpc":"2.0","id":3,"result":{"seconds":0.01,"text":"\xff\xfe"}}\n'
    _, ending, _ = conversation(tmp_path, {"do": "raw", "with": {"hexadecimal": line.hex()}})
    assert ending.status is Status.PROTOCOL_VIOLATION


def test_an_engine_that_reads_no_calls_holds_up_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    spec = {"do": "deaf", "with": {"pause_s": 0.003}}
    conversation(tmp_path, spec, calls=400)
    assert time.monotonic() - began < 20


def test_a_slow_drip_that_ends_in_time_is_an_answer(tmp_path: Path) -> None:
    spec = {"do": "drip", "with": {"pause_s": 0.001}}
    answers, ending, _ = conversation(tmp_path, spec)
    assert (len(answers), ending.status) == (2, Status.OK)


FLOODS = ["log", "progress", "unknown", "blank", "letters", "brackets", "answers"]


@pytest.mark.parametrize("length", [100, 1 << 20])
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_messages_is_a_violation_at_once(tmp_path: Path, kind: str, length: int) -> None:
    patient = Deadlines(warmup_s=60, transcribe_s=60)
    began, before = time.monotonic(), peak_bytes()
    spec = {"do": "flood", "with": {"kind": kind, "length": length}}
    _, ending, _ = conversation(tmp_path, spec, patient)
    assert ending.status is Status.PROTOCOL_VIOLATION
    assert time.monotonic() - began < 30
    assert peak_bytes() - before < 100_000_000


def test_a_flood_on_stderr_ends_at_the_deadline_and_fills_no_memory(tmp_path: Path) -> None:
    before = peak_bytes()
    _, ending, _ = conversation(tmp_path, {"do": "flood", "with": {"kind": "stderr"}})
    assert ending.status is Status.TIMEOUT
    assert len(ending.log_tail) <= 16 * 1024
    assert peak_bytes() - before < 50_000_000


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@pytest.fixture
def escapee(tmp_path: Path) -> Iterator[str]:
    """A name for a process that an engine leaves behind; it is killed when the test has ended."""
    name = f"escapee-{tmp_path.name}"
    yield name
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if name in process.cmdline():
                process.kill()


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("hang", Status.TIMEOUT),
        ("leave", Status.PROTOCOL_VIOLATION),
        ("answer", Status.OK),
    ],
)
def test_a_descendant_that_keeps_the_pipes_open_holds_up_nothing(
    tmp_path: Path, escapee: str, then: str, status: Status
) -> None:
    began = time.monotonic()
    spec = {"do": "escape", "with": {"then": then, "name": escapee}}
    answers, ending, _ = conversation(tmp_path, spec)
    assert time.monotonic() - began < 12
    assert ending.status is status
    assert len(answers) == (2 if then == "answer" else 0)


def test_a_worker_is_held_to_its_limit_on_gpus_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = process_tree.MemoryUse(5 * 10**9, "GPU memory")
    monkeypatch.setattr(process_tree, "gpu_memory_use", lambda _pid: held)
    sleep = (sys.executable, "-c", "import time; time.sleep(600)")
    started = Launch(argv=sleep, environment={}, cwd=tmp_path, mark="1:0:x")
    with (
        Worker(started, QUICK, memory_limit=1 << 50, gpu_memory_limit=4 * 10**9) as worker,
        pytest.raises(WorkerFailureError) as failure,
    ):
        worker.hello()
    assert failure.value.ending.status is Status.OUT_OF_MEMORY
    said = "used 5.0 GB of GPU memory during spawn, over the limit of 4.0 GB; killed"
    assert failure.value.ending.message == said


def test_looks_at_the_memory_that_cost_much_are_rarer_and_never_stop() -> None:
    assert supervisor.memory_check_pause_s(0.0003) == 0.5
    assert supervisor.memory_check_pause_s(0.02) == pytest.approx(2.0)  # a hundredth of a core
    assert supervisor.memory_check_pause_s(10.0) == 5.0


def test_a_program_that_cannot_be_started_is_unavailable(tmp_path: Path) -> None:
    for argv in [("/no/such/program",), ("a\0b",), (str(tmp_path),)]:
        with pytest.raises(WorkerFailureError) as failure:
            Worker(Launch(argv=argv, environment={}, cwd=tmp_path, mark="1:0:x"), QUICK)
        assert failure.value.ending.status is Status.UNAVAILABLE
        assert failure.value.ending.message.isprintable()
