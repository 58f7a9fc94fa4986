"""The bridge to WhisperKit, as far as it goes where there is no Core ML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.conftest import BUILD_S, PACKAGES, BuildPackage
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.backends.whisperkit import BACKEND, RECIPE
from mac_whisper_speedtest.worker.conformance.client import Client
from mac_whisper_speedtest.worker.protocol import ErrorCode

PACKAGE = PACKAGES / "whisperkit"
# What Swift reports under each contract: the package's own tests read the same file.
TABLE = json.loads((PACKAGE / "Tests/WhisperKitBridgeTests/contracts.json").read_text())


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
    assert json.loads(hello.result)["name"] == RECIPE.name
    assert json.loads(hello.result)["version"] == RECIPE.version
    weights = "openai_whisper-tiny"
    model = {"name": "tiny", "path": f"/weights/{weights}", "format": "whisperkit"}
    for device in ("auto", "ane"):  # the worker stays ready
        refused = client.call("load", {"model": model, "device": device, "threads": 1}, 10).error
        assert refused is not None
        assert refused.code == ErrorCode.UNAVAILABLE
        assert "there is no Core ML here" in refused.message
    assert client.call("shutdown", {}, 10).error is None
    assert not client.junk


@pytest.mark.parametrize("name", TABLE)
def test_it_is_declared_to_decode_with_what_it_reports(name: str) -> None:
    contract = DecodeContract(name, **TABLE[name]["contract"])
    assert contract == CONTRACTS.get(name, contract)
    assert BACKEND.decodes_with(contract) == TABLE[name]["effective"]


def test_contracts_of_other_work_are_refused() -> None:
    assert {name for name, each in CONTRACTS.items() if BACKEND.refuses(each)} == {"beam5"}
    assert set(TABLE) > set(CONTRACTS) - {"beam5"}


def test_the_pins_of_recipe_manifest_and_comparison_agree() -> None:
    manifest = (PACKAGE / "Package.swift").read_text()
    pinned = re.search(r'/argmax-oss-swift", exact: "(\S+)"', manifest)
    compared = json.loads((PACKAGES / "stubs" / "checked.json").read_text())["packages"]
    assert pinned is not None
    assert pinned[1] == RECIPE.version == compared["argmax-oss-swift"]["version"]
    assert RECIPE.package == PACKAGE.name
    assert RECIPE.revisions == {"argmax-oss-swift": compared["argmax-oss-swift"]["commit"]}
