"""Networks that the system keeps: what a bridge reports of them, and what a hostile one gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.apple_speech import StandInBridge
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import apple_speech, recipe, registry
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import DownloadError, UsageError
from mac_whisper_speedtest.weights import locate, pull, system_assets
from mac_whisper_speedtest.weights.inspect import WeightsState
from mac_whisper_speedtest.weights.system_assets import AssetsCheck, AssetsUnknownError

ROW = catalog.official_weights("apple-speech-de-de")


def _backend(bridge: StandInBridge) -> Backend:
    return Backend("stand-in", command=(str(bridge.program), "--results", "final"))


def _check(bridge: StandInBridge, model: str = "apple-speech-en-us") -> tuple[WeightsState, str]:
    info = apple_speech.BACKEND.model_info(model)
    return AssetsCheck().check(info, _backend(bridge))


@pytest.mark.parametrize(
    ("model", "state", "reason"),
    [
        ("apple-speech-en-us", WeightsState.SYSTEM, "macOS 26.0.0 (25A354)"),
        (
            "apple-speech-en-gb",
            WeightsState.ABSENT,
            "not installed: speedtest models pull apple-speech-en-gb",
        ),
        (
            "apple-speech-ja-jp",
            WeightsState.UNAVAILABLE,
            "macOS 26.0.0 (25A354) does not support ja-JP",
        ),
    ],
)
def test_the_system_s_lists_decide(
    model: str, state: WeightsState, reason: str, tmp_path: Path
) -> None:
    assert _check(StandInBridge(tmp_path), model) == (state, reason)


def test_a_machine_without_a_transcriber_says_why(tmp_path: Path) -> None:
    bridge = StandInBridge(
        tmp_path, available=False, reason="a virtual machine", supported=[], installed=[]
    )
    assert _check(bridge) == (WeightsState.UNAVAILABLE, "a virtual machine")


def test_a_program_is_asked_once(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path)
    assets = AssetsCheck()
    for model in apple_speech.NETWORKS:
        assets.check(apple_speech.BACKEND.model_info(model), _backend(bridge))
    assert bridge.calls == ["assets"]


def test_a_program_that_fails_is_asked_once(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path, on_assets="sys.exit('the daemon does not answer')")
    assets = AssetsCheck()
    for model in apple_speech.NETWORKS:
        found = assets.check(apple_speech.BACKEND.model_info(model), _backend(bridge))
        assert found == (WeightsState.NOT_KNOWN, "the daemon does not answer")
    assert bridge.calls == ["assets"]


def test_without_the_bridge_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(recipe, "this_platform", lambda: "darwin-arm64")
    info = apple_speech.BACKEND.model_info("apple-speech-en-us")
    for backend in (apple_speech.BACKEND, apple_speech.PROGRESSIVE):
        assert AssetsCheck().check(info, backend) == (
            WeightsState.NOT_KNOWN,
            f"not installed — speedtest backends install {backend.name}",
        )


@pytest.mark.parametrize("platform", ["linux-x86_64", "darwin-x86_64"])
def test_elsewhere_there_is_no_such_network(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "this_platform", lambda: platform)
    info = apple_speech.BACKEND.model_info("apple-speech-en-us")
    state, reason = AssetsCheck().check(info, apple_speech.BACKEND)
    assert state is WeightsState.UNAVAILABLE
    assert reason.startswith("not for this machine: ")


HOSTILE = {
    "garbage": ("print('ready'); sys.exit()", "printed no valid report: "),
    "nothing": ("sys.exit()", "printed no valid report: "),
    "another shape": ("print('[1, 2]'); sys.exit()", "printed no valid report: "),
    "deep nesting": ("print('[' * 60000); sys.exit()", "is nested deeper than 64 levels"),
    "a flood": ("while True: print('x' * 9999)", "printed more than 65536 bytes"),
    "many locales": (
        "assets['supported'] = ['en-US'] * 2000",
        "supported has 2000 entries; at most 1000",
    ),
    "a long name": ("assets['macos'] = 'x' * 9999", "macos has 9999 characters; at most 2000"),
    "a failure": ("sys.exit('\\x1b[31mno\\x1b[0m ' + 'x' * 500)", "\ufffd[31mno\ufffd[0m xxx"),
    "a silent failure": ("sys.exit(3)", "speedtest-apple-speech assets ended with status 3"),
    "a flood of complaints": (
        "for _ in range(200000): print('no', file=sys.stderr)\nsys.exit(1)",
        "no",
    ),
}


@pytest.mark.parametrize(("statement", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_answer_is_bounded(statement: str, reason: str, tmp_path: Path) -> None:
    state, found = _check(StandInBridge(tmp_path, on_assets=statement))
    assert state is WeightsState.NOT_KNOWN
    assert reason in found
    assert len(found) < 5000


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("time.sleep(60)", "has not answered in 0.5 s"),
        ("print('{}', flush=True); os.close(1); time.sleep(60)", "does not end"),
        ("os.fork() or time.sleep(60); time.sleep(60)", "has not answered in 0.5 s"),
    ],
)
def test_a_program_that_hangs_is_killed(
    statement: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_assets, "ASK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(system_assets, "_AFTER_ANSWER_S", 0.5)
    began = time.monotonic()
    state, found = _check(StandInBridge(tmp_path, on_assets=statement))
    assert time.monotonic() - began < 20
    assert state is WeightsState.NOT_KNOWN
    assert reason in found


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path)
    bridge.program.chmod(0o600)
    state, found = _check(bridge)
    assert state is WeightsState.NOT_KNOWN
    assert found == "speedtest-apple-speech assets cannot be started: Permission denied"


def test_an_install_is_requested_by_locale_and_its_progress_passed_on(tmp_path: Path) -> None:
    progress = "print('installing de-DE: 40 %', file=sys.stderr)"
    bridge = StandInBridge(tmp_path, on_install=progress)
    heard: list[str] = []
    system = system_assets.install(ROW, _backend(bridge), notify=heard.append)
    assert system == "macOS 26.0.0 (25A354)"
    assert heard == ["installing de-DE: 40 %"]
    assert bridge.calls == ["assets", "install de-DE"]


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path, installed=["de-DE"])
    system_assets.install(ROW, _backend(bridge), notify=lambda _line: None)
    assert bridge.calls == ["assets"]


def test_a_locale_that_the_system_does_not_have_is_not_requested(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path, supported=["en-US"])
    with pytest.raises(UsageError, match="cannot install de-DE") as refused:
        system_assets.install(ROW, _backend(bridge), notify=lambda _line: None)
    assert refused.value.hint == "it has en-US"
    assert bridge.calls == ["assets"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("sys.exit('The network connection was lost.')", "de-DE: The network connection was lost."),
        ("print(json.dumps(assets)); sys.exit()", "reports no error and has not installed de-DE"),
        ("print('done'); sys.exit()", "printed no valid report"),
    ],
)
def test_an_install_that_fails_says_why(statement: str, message: str, tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path, on_install=statement)
    with pytest.raises(DownloadError, match=message):
        system_assets.install(ROW, _backend(bridge), notify=lambda _line: None)


def test_a_release_is_requested_by_locale(tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path)
    system_assets.release(catalog.official_weights("apple-speech-en-us"), _backend(bridge))
    assert bridge.calls == ["release en-US"]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("print(json.dumps(assets)); sys.exit()", "has not released en-US"),
        ("sys.exit('no such locale')", "no such locale"),
    ],
)
def test_a_release_that_fails_says_why(statement: str, message: str, tmp_path: Path) -> None:
    bridge = StandInBridge(tmp_path, on_release=statement)
    with pytest.raises(AssetsUnknownError, match=message):
        system_assets.release(catalog.official_weights("apple-speech-en-us"), _backend(bridge))


def test_nothing_is_installed_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "this_platform", lambda: "linux-x86_64")
    with pytest.raises(UsageError, match="is a part of macOS 26 and newer on Apple silicon"):
        system_assets.install(ROW, apple_speech.BACKEND, notify=lambda _line: None)


def test_nothing_is_installed_without_the_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(recipe, "this_platform", lambda: "darwin-arm64")
    with pytest.raises(AssetsUnknownError, match="speedtest backends install apple-speech"):
        system_assets.install(ROW, apple_speech.BACKEND, notify=lambda _line: None)


def test_the_backend_of_the_format_is_asked() -> None:
    backend = system_assets.backend_for(ROW, registry.installed().values())
    assert backend.name == "apple-speech"
    with pytest.raises(UsageError, match="no installed backend loads apple-speech-de-de"):
        system_assets.backend_for(ROW, [])


def test_a_run_is_given_no_path_and_no_file() -> None:
    found = locate.locate(
        apple_speech.BACKEND.model_info("apple-speech-en-us"), notify=lambda _line: None
    )
    assert (found.argument, dict(found.files), found.size_bytes) == ("", {}, 0)
    assert found.source == "installed by macOS"


@pytest.mark.parametrize(
    "call",
    [
        catalog.require_files,
        lambda name: pull.pull_row(catalog.official_weights(name), notify=lambda _line: None),
    ],
)
def test_it_has_no_files_to_work_with(call: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="has no files here: macOS keeps its network"):
        call("apple-speech-en-us")
