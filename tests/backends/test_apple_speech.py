"""Apple's SpeechTranscriber as the tool describes it; its program is tested in tests/bridges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridges.conftest import PACKAGES
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends.apple_speech import BACKEND, PROGRESSIVE
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import CONTRACTS, DecodeContract
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.run.prepare import prepare

ROWS = json.loads(
    (PACKAGES / "apple-speech/Tests/AppleSpeechTests/contracts.json").read_text(encoding="utf-8")
)
BOTH = {"final": BACKEND, "progressive": PROGRESSIVE}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['results']}-{row['name']}")
def test_what_is_declared_is_what_the_bridge_reports(row: dict[str, Any]) -> None:
    backend = BOTH[row["results"]]
    declared = backend.decodes_with(DecodeContract(**row["contract"]))
    spoken = row["contract"]["language"] and row["spoken"]  # else the network decides
    assert declared == row["effective"] | {"language": spoken}


def test_the_program_is_told_which_results_to_report() -> None:
    for results, backend in BOTH.items():
        assert backend.arguments == ("--results", results)
        assert backend.recipe is BACKEND.recipe


def test_it_can_run_every_network_of_its_family() -> None:
    family = [model.name for model in catalog.models().values() if model.family == "apple-speech"]
    assert list(BACKEND.networks) == family
    assert BACKEND.network_for("small") == "apple-speech-en-us"


def test_neither_refuses_a_contract() -> None:
    for backend in BOTH.values():
        for contract in CONTRACTS.values():
            assert backend.refuses(contract) is None


def test_a_network_of_another_language_costs_its_own_cell_and_names_a_better_one(
    tone: Path,
) -> None:
    """When a Whisper model is requested, the language is not that of the network in its place."""
    backend = Backend(
        "apple",
        command=("never-started",),
        weights_format="apple-speech",
        networks=BACKEND.networks,
    )
    request = Request(models=("tiny",), audio=str(tone), language="de")
    prepared = prepare(request, [backend], notify=lambda _line: None)
    (reason,) = prepared.unavailable.values()
    assert reason == (
        "its apple-speech-en-us knows only 'en', but the language is 'de'; "
        "name its network apple-speech-de-de with --model"
    )
    assert not prepared.weights
