"""The bridge to FluidAudio, as far as it goes where there is no Core ML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bridges.conftest import BUILD_S, PACKAGES, BuildPackage
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.backends.fluidaudio import BACKEND, RECIPE
from mac_whisper_speedtest.worker.conformance.client import Client
from mac_whisper_speedtest.worker.protocol import ErrorCode

MANIFEST = PACKAGES / "fluid-audio" / "Package.swift"
# What Swift reports under each contract: the package's own tests read the same file.
TABLE = json.loads((MANIFEST.parent / "Tests/FluidAudioBridgeTests/contracts.json").read_text())


@pytest.fixture(scope="session")
def bridge(build_package: BuildPackage) -> Path:
    return build_package("fluid-audio") / "speedtest-fluidaudio"


@pytest.mark.timeout(2 * BUILD_S)
def test_it_greets_with_the_pinned_version_and_refuses_to_load_without_core_ml(
    bridge: Path, start_worker: Callable[..., Client]
) -> None:
    client = start_worker(bridge)
    hello = client.call("hello", {"protocol": 1}, 10)
    assert hello.error is None
    assert json.loads(hello.result)["name"] == RECIPE.name
    assert json.loads(hello.result)["version"] == RECIPE.version
    name = "parakeet-tdt-0.6b-v3"
    model = {"name": name, "path": f"/weights/{name}", "format": "fluidaudio", "precision": "auto"}
    for _ in range(2):  # the worker stays ready
        refused = client.call("load", {"model": model, "device": "auto", "threads": 1}, 10).error
        assert refused is not None
        assert refused.code == ErrorCode.UNAVAILABLE
        assert refused.message == "there is no Core ML here"
    assert client.call("shutdown", {}, 10).error is None
    assert not client.junk


@pytest.mark.parametrize("name", TABLE)
def test_it_is_declared_to_decode_with_what_it_reports(name: str) -> None:
    contract = DecodeContract(name, **TABLE[name]["contract"])
    assert contract == CONTRACTS[name]
    assert BACKEND.decodes_with(contract) == TABLE[name]["effective"]


def test_contracts_of_other_work_are_refused() -> None:
    assert {name for name, each in CONTRACTS.items() if BACKEND.refuses(each)} == {"beam5"}
    assert set(TABLE) == set(CONTRACTS) - {"beam5"}


def test_the_pins_of_recipe_manifest_and_comparison_agree() -> None:
    pinned = re.search(r'url: "\S+/FluidAudio", exact: "(\S+)"', MANIFEST.read_text())
    compared = json.loads((PACKAGES / "stubs" / "checked.json").read_text())
    assert pinned is not None
    assert pinned[1] == RECIPE.version == compared["packages"]["FluidAudio"]["version"]
    assert RECIPE.package == MANIFEST.parent.name
    assert RECIPE.revisions == {"fluidaudio": compared["packages"]["FluidAudio"]["commit"]}


def test_its_folder_has_another_name_than_the_package_that_it_needs() -> None:
    # SwiftPM identifies packages by the last part of their folder or address, in lower case.
    for address in re.findall(r'\.package\((?:url|path): "([^"]+)"', MANIFEST.read_text()):
        assert Path(address).name.lower() != MANIFEST.parent.name.lower()
