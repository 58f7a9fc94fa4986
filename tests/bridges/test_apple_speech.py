"""The bridge to Apple's SpeechTranscriber, as far as it goes where there is no Speech framework."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.conftest import BUILD_S, BuildPackage
from mac_whisper_speedtest.worker.conformance.client import Client
from mac_whisper_speedtest.worker.protocol import ErrorCode

pytestmark = pytest.mark.timeout(2 * BUILD_S)


@pytest.fixture(scope="session")
def bridge(build_package: BuildPackage) -> Path:
    return build_package("apple-speech") / "speedtest-apple-speech"


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)


def _load(model: str, **changes: str) -> dict[str, object]:
    weights = {"name": model, "path": "", "format": "apple-speech", "precision": "auto"}
    return {"model": weights, "device": "auto", "threads": 1} | changes


def test_it_greets_and_refuses_to_load_where_there_is_no_transcriber(
    bridge: Path, start_worker: Callable[..., Client]
) -> None:
    client = start_worker(bridge)
    hello = client.call("hello", {"protocol": 1}, 10)
    assert hello.error is None
    assert json.loads(hello.result)["name"] == "apple-speech"
    for _ in range(2):  # the worker stays ready
        refused = client.call("load", _load("apple-speech-en-us"), 10).error
        assert refused is not None
        assert refused.code == ErrorCode.UNAVAILABLE
        assert "SpeechTranscriber is not available on this machine" in refused.message
    assert client.call("shutdown", {}, 10).error is None
    assert not client.junk


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (_load("tiny.en"), ErrorCode.MODEL_UNUSABLE, "apple-speech-LANGUAGE-REGION"),
        (_load("apple-speech-en-us", device="gpu"), ErrorCode.UNAVAILABLE, "not gpu"),
    ],
)
def test_what_it_cannot_do_is_named(
    params: dict[str, object],
    code: ErrorCode,
    message: str,
    bridge: Path,
    start_worker: Callable[..., Client],
) -> None:
    client = start_worker(bridge)
    client.call("hello", {"protocol": 1}, 10)
    refused = client.call("load", params, 10).error
    assert refused is not None
    assert refused.code == code
    assert message in refused.message


def test_assets_are_printed_as_one_object(bridge: Path) -> None:
    done = _run(bridge, "assets")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found.pop("build")
    assert found.pop("macos")
    assert found == {
        "schema_version": 1,
        "available": False,
        "reason": "SpeechTranscriber is not available on this machine",
        "supported": [],
        "installed": [],
        "reserved": [],
    }


@pytest.mark.parametrize("command", ["install", "release"])
def test_nothing_is_changed_without_a_transcriber(command: str, bridge: Path) -> None:
    done = _run(bridge, command, "en-us")
    assert done.returncode == 1
    assert "SpeechTranscriber is not available on this machine" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("words", [("--results", "all"), ("install",), ("install", "english")])
def test_a_wrong_call_gets_the_usage(words: tuple[str, ...], bridge: Path) -> None:
    done = _run(bridge, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: speedtest-apple-speech")
