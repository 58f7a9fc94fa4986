"""The bridge to WhisperKit, as far as it goes where there is no Core ML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.conftest import BUILD_S, BuildPackage
from mac_whisper_speedtest.worker.conformance.client import Client
from mac_whisper_speedtest.worker.protocol import ErrorCode


@pytest.fixture(scope="session")
def bridge(build_package: BuildPackage) -> Path:
    return build_package("whisperkit") / "speedtest-whisperkit"


@pytest.mark.timeout(2 * BUILD_S)
def test_it_greets_and_refuses_to_load_without_core_ml(
    bridge: Path, start_worker: Callable[..., Client]
) -> None:
    client = start_worker(bridge)
    hello = client.call("hello", {"protocol": 1}, 10)
    assert hello.error is None
    assert json.loads(hello.result)["name"] == "whisperkit"
    weights = "openai_whisper-tiny"
    model = {"name": "tiny", "path": f"/weights/{weights}", "format": "whisperkit"}
    for device in ("auto", "ane"):  # the worker stays ready
        refused = client.call("load", {"model": model, "device": device, "threads": 1}, 10).error
        assert refused is not None
        assert refused.code == ErrorCode.UNAVAILABLE
        assert "there is no Core ML here" in refused.message
    assert client.call("shutdown", {}, 10).error is None
    assert not client.junk
