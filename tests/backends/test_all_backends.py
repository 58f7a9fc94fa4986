"""Every backend that is installed here, through the whole tool, on real weights and real speech."""

from __future__ import annotations

import pytest

from backends.conftest import installed_or_skip
from conftest import Finished, Tool, built_in_backends
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.contract import DecodeContract, deviations
from mac_whisper_speedtest.worker.launch import interpreter

NAMES = [
    backend.name
    for backend in built_in_backends()
    if backend.name != "parakeet-mlx"  # no weights are at hand
]
GREEDY = DecodeContract()

# MLX's CPU build takes long, and they share one run.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One round of everything, as a user would call it."""
    found = registry.installed()
    here = [name for name in NAMES if interpreter(found[name]) is not None]
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    finished = tool(
        *("run", "--model", "tiny.en", "--rounds", 1, "--passes", 1, "--no-retake", "--json"),
        *(word for name in here for word in ("-b", name)),
        timeout=1700,
    )
    assert finished.returncode == 0, finished.stderr
    assert tool.leftovers() == []
    return finished


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    installed_or_skip(backend)
    return backend


def test_the_built_in_clip_is_measured_and_understood(name: str, done: Finished) -> None:
    cell = done.cell(name)
    assert cell["status"] == "ok"
    assert cell["summary"]["wer"] <= 0.06
    assert (
        cell["backend"]["device"] == "cpu" or "linux" not in done.run["manifest"]["machine"]["os"]
    )


def test_it_did_the_work_that_its_description_declares(name: str, done: Finished) -> None:
    cell = done.cell(name)
    declared = registry.installed()[name].decodes_with(GREEDY)
    assert cell["contract"]["effective"] == declared
    assert {each["setting"] for each in cell["contract"]["deviations"]} == {
        each.setting for each in deviations(GREEDY, declared)
    }


def test_nothing_is_found_wrong_with_its_text_its_device_or_its_precision(
    name: str, done: Finished
) -> None:
    kinds = {each["kind"] for each in done.cell(name)["summary"]["findings"]}
    assert not kinds & {"loop", "device", "precision"}
    # Moonshine's detector remembers the recording before.
    assert "text" not in kinds or name == "moonshine-voice"


def test_only_those_that_did_equal_work_are_ranked_together(done: Finished) -> None:
    groups: dict[tuple[str, str], set[str]] = {}
    for cell in done.run["cells"]:
        where = (cell["model"]["name"], cell["summary"]["group"])
        settings = {key: cell["contract"]["effective"][key] for key in GREEDY.settings()}
        groups.setdefault(where, set()).add(str(settings))
    assert all(len(work) == 1 for work in groups.values())
    kept = str(GREEDY.settings())
    assert groups["tiny.en", "A"] == {kept}


def test_everyone_decoded_the_same_network(done: Finished) -> None:
    networks = {
        cell["model"]["weights"]["network_sha256"]
        for cell in done.run["cells"]
        if cell["model"]["name"] == "tiny.en"
    }
    assert len(networks) == 1
