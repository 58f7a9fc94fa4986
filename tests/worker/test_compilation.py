"""Loads that may compile for the Neural Engine: more time, a warning, and advice after a kill."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import Call, describe_fake, write_tone
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.cli import conformance
from mac_whisper_speedtest.machine import caches
from mac_whisper_speedtest.machine.caches import Caches
from mac_whisper_speedtest.machine.reader import Unknown
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.run import execute
from mac_whisper_speedtest.worker import load_check
from mac_whisper_speedtest.worker.compilation import ANNOUNCEMENT, compilation_of
from mac_whisper_speedtest.worker.exit_status import Status, WorkerFailureError
from mac_whisper_speedtest.worker.launch import launch
from mac_whisper_speedtest.worker.load_check import LoadOutcome, Trial
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

BUILD = "25A354"
_look = caches.compile_caches
BRIDGE = Backend(name="bridge", devices=("ane", "gpu", "cpu"))
MODEL = ModelParams("tiny.en", "weights.bin", "own", "auto")


class Heard(Observer):
    def __init__(self) -> None:
        self.lines: list[tuple[str, float]] = []
        self._began = time.monotonic()

    def notify(self, text: str) -> None:
        self.lines.append((text, time.monotonic() - self._began))

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        self.lines.append((f"slow: {stage}", time.monotonic() - self._began))


def caches_of(home: Path, *programs: str) -> Caches:
    """The caches of ``bridge`` in a home in which these programs have compiled."""
    for program in programs:
        place = home / "Library/Caches" / program / "com.apple.e5rt.e5bundlecache" / BUILD / "A1"
        place.mkdir(parents=True)
    return _look("bridge", home=home, build=BUILD)


@pytest.mark.parametrize(
    ("programs", "load_s", "allowed_s"),
    [
        ((), 120.0, 240.0),
        (("other",), 120.0, 240.0),
        (("",), 120.0, 240.0),  # shared by all programs: not known to be of this one
        (("bridge",), 120.0, 120.0),
        ((), 1000.0, 1800.0),
        ((), 2000.0, 2000.0),
    ],
)
def test_a_load_without_a_cache_has_twice_the_time_up_to_half_an_hour(
    tmp_path: Path, programs: tuple[str, ...], load_s: float, allowed_s: float
) -> None:
    compiles = compilation_of(BRIDGE, "auto", caches_of(tmp_path, *programs))
    limits = Deadlines(load_s=load_s, transcribe_s=7.0)
    allowed = limits.allowing(compiles, requested=False)
    assert (allowed.load_s, allowed.transcribe_s) == (allowed_s, 7.0)
    assert limits.allowing(compiles, requested=True).load_s == load_s
    assert compiles is not None
    assert compiles.first is (programs in {(), ("other",)})


def test_other_devices_and_systems_get_no_more_time(tmp_path: Path) -> None:
    assert compilation_of(BRIDGE, "gpu", caches_of(tmp_path)) is None
    assert compilation_of(BRIDGE, "auto", Caches(Unknown("this system has no Core ML"))) is None
    limits = Deadlines()
    assert limits.allowing(None, requested=False) is limits


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of a Mac on which nothing has been compiled; everything else is as it is here."""
    folder = tmp_path / "home"
    folder.mkdir()

    found = caches.compile_caches("bridge", home=folder, build=BUILD)

    def seen(_program: str) -> Caches:
        return found

    monkeypatch.setattr(load_check, "compile_caches", seen)
    monkeypatch.setattr(caches, "compile_caches", seen)
    monkeypatch.setattr(Path, "home", lambda: folder)
    return folder


def hanging(folder: Path) -> Backend:
    backend = registry.from_toml(describe_fake(folder, "fake", fault="hang_in_load"))
    return replace(backend, devices=("ane", "cpu"))


def test_a_load_warns_before_it_is_killed_and_then_says_what_to_do(tmp_path: Path) -> None:
    backend, heard = hanging(tmp_path), Heard()
    seen = caches_of(tmp_path / "home")
    limits = Deadlines(load_s=0.75).allowing(compilation_of(backend, "auto", seen), requested=False)
    (tmp_path / "scratch").mkdir()
    started = launch(backend, scratch=tmp_path / "scratch", threads=1)
    assert started is not None
    with Worker(started, limits, observer=heard) as worker:
        worker.hello()
        heard.lines.clear()
        heard._began = time.monotonic()
        with pytest.raises(WorkerFailureError) as caught:
            worker.load(LoadParams(MODEL, "auto", 1))
        killed_s = time.monotonic() - heard._began
    (slow, first_s), (still, second_s) = heard.lines
    assert slow == "slow: load"
    assert still.startswith("still compiling for the Neural Engine")
    assert f"cache in {tmp_path}/home/Library/Caches/bridge/com.apple" in still
    assert 0.4 < first_s < 0.9 < second_s < 1.4 <= killed_s
    ending = caught.value.ending
    assert ending.status is Status.TIMEOUT
    assert ending.message.startswith("no answer after 1.5 s of load; killed. Core ML may have been")
    assert "--timeout" in ending.message
    assert f"{BUILD} or {tmp_path}/home/Library/Caches/com.apple" in ending.message


def test_the_conformance_kit_gives_a_first_load_the_time_of_a_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("/somewhere/bridge",)
    engine = Backend(name="bridge", devices=("ane", "cpu"), command=command)
    assert conformance._load_s(engine, "large-v3") == 1800.0
    assert capsys.readouterr().err == f"{ANNOUNCEMENT}\n"
    assert conformance._load_s(replace(engine, devices=("cpu",)), "large-v3") is None


def test_other_stages_and_loads_warn_once(tmp_path: Path) -> None:
    backend, heard = hanging(tmp_path), Heard()
    (tmp_path / "scratch").mkdir()
    started = launch(backend, scratch=tmp_path / "scratch", threads=1)
    assert started is not None
    with Worker(started, Deadlines(load_s=0.6), observer=heard) as worker:
        worker.hello()
        heard.lines.clear()
        with pytest.raises(WorkerFailureError) as caught:
            worker.load(LoadParams(MODEL, "auto", 1))
    assert [text for text, _ in heard.lines] == ["slow: load"]
    assert caught.value.ending.message == "no answer after 0.6 s of load; killed"


def test_a_check_of_a_load_that_compiles_is_too_slow_even_while_the_worker_idles(
    tmp_path: Path, home: Path
) -> None:
    heard = Heard()
    trial = Trial(hanging(tmp_path), MODEL, "auto", 1, 0.5)
    found = load_check.check(trial, heard)
    assert found.outcome is LoadOutcome.TOO_SLOW
    assert found.message.startswith("no answer after 1 s of load; killed. Core ML may have been")
    assert (
        "remove ~/Library/Caches/bridge/com.apple.e5rt.e5bundlecache/25A354 or ~/" in found.message
    )
    words = [text for text, _ in heard.lines]
    assert words[0] == f"tiny.en in fake: {ANNOUNCEMENT}"
    assert any(text.startswith("still compiling") for text in words)


def test_the_users_timeout_for_a_check_is_kept_and_a_cpu_load_is_not_excused(
    tmp_path: Path, home: Path
) -> None:
    kept = Trial(hanging(tmp_path), MODEL, "auto", 1, 0.5, load_s_requested=True)
    assert load_check.check(kept).message.startswith("no answer after 0.5 s of load")
    cpu = load_check.check(Trial(hanging(tmp_path), MODEL, "cpu", 1, 0.5))
    assert cpu.outcome is LoadOutcome.FAILED
    assert "Core ML" not in cpu.message


def test_a_run_announces_the_first_compilation_once_and_records_no_cache(
    speedtest: Call, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Deadlines] = []

    def started(start: Any, limits: Deadlines, **more: Any) -> Worker:
        given.append(limits)
        return Worker(start, limits, **more)

    monkeypatch.setattr(execute, "Worker", started)
    path = describe_fake(tmp_path, "fake", fault="on_the_neural_engine")
    audio = write_tone(tmp_path / "tone.wav")
    done = speedtest(
        *["run", "-m", "tiny.en", "-b", path, "--device", "ane", "--audio", audio],
        *["--rounds", 2, "--passes", 1, "--json"],
    )
    assert done.code == 0, done.err
    assert done.err.count(ANNOUNCEMENT) == 1
    assert [each.load_s for each in given] == [240.0, 240.0]
    (cell,) = done.json["cells"]
    assert {each["compile_cache"] for each in cell["loads"]} == {"absent"}


def test_a_load_after_one_that_compiled_in_the_same_process_finds_its_cache(
    speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, looks = tmp_path / "home", list[Caches]()

    def seen(_program: str) -> Caches:
        if looks:  # what the load between has left
            caches_of(home, "bridge")
        looks.append(_look("bridge", home=home, build=BUILD))
        return looks[-1]

    monkeypatch.setattr(caches, "compile_caches", seen)
    path = describe_fake(tmp_path, "fake", fault="on_the_neural_engine")
    audio = write_tone(tmp_path / "tone.wav")
    done = speedtest(
        *["run", "-m", "tiny.en", "-b", path, "--device", "ane", "--audio", audio],
        *["--rounds", 1, "--passes", 1, "--cold-load", "--json"],
    )
    assert done.code == 0, done.err
    (cell,) = done.json["cells"]
    assert [each["compile_cache"] for each in cell["loads"]] == ["absent", "there"]
