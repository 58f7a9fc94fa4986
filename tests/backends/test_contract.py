"""What is asked, what a backend says it will do, and what that means before anything is started."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from conftest import Tool, built_in_backends
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import (
    CONTRACTS,
    SETTING_NAMES,
    DecodeContract,
    Deviation,
    deviations,
)

BACKENDS = built_in_backends()
every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda each: each.name)


def test_there_are_three_contracts_and_greedy_is_the_one_nobody_has_to_ask_for() -> None:
    assert list(CONTRACTS) == ["greedy", "beam5", "as-shipped"]
    assert CONTRACTS["greedy"] == DecodeContract()
    assert CONTRACTS["beam5"].beam_size == 5
    assert set(CONTRACTS["as-shipped"].settings().values()) == {None}


def test_what_a_contract_leaves_to_the_library_cannot_deviate() -> None:
    contract = replace(DecodeContract(), vad=None)
    effective = DecodeContract().settings() | {"vad": True, "batch_size": 8}
    assert deviations(contract, effective) == [Deviation("batch_size", 1, 8)]


def test_a_setting_that_is_not_reported_is_a_deviation() -> None:
    effective = DecodeContract().settings()
    del effective["best_of"]
    assert deviations(DecodeContract(), effective) == [Deviation("best_of", 1, None)]


def test_a_backend_follows_the_contract_except_where_it_has_no_choice() -> None:
    backend = Backend("b", fixed={"vad": True}, shipped={"beam_size": 5})
    assert backend.decodes_with(DecodeContract()) == DecodeContract().settings() | {"vad": True}
    own = backend.decodes_with(CONTRACTS["as-shipped"])
    assert (own["vad"], own["beam_size"], own["task"]) == (True, 5, "transcribe")


def test_what_costs_words_is_not_asked_for_and_left_alone_where_nothing_is_asked() -> None:
    backend = Backend("b", instead={"timestamps": False})
    asked = backend.library_contract(DecodeContract())
    assert asked == replace(DecodeContract(), timestamps=False)
    assert backend.decodes_with(DecodeContract()) == asked.settings()
    assert backend.library_contract(CONTRACTS["as-shipped"]) == CONTRACTS["as-shipped"]
    assert backend.decodes_with(CONTRACTS["as-shipped"])["timestamps"] is True


@pytest.mark.parametrize(
    ("fixed", "refused"),
    [
        ({"beam_size": 1}, "beam_size"),
        ({"beam_size": None}, None),  # no such setting: whatever it does is not beam search undone
        ({"batch_size": 8, "vad": True}, None),  # other work, but the same job
    ],
)
def test_only_what_would_be_another_job_is_refused(
    fixed: dict[str, int | bool | None], refused: str | None
) -> None:
    found = Backend("b", fixed=fixed).refuses(CONTRACTS["beam5"])
    assert (found.setting if found else None) == refused


def test_a_backend_of_one_language_refuses_another() -> None:
    backend = Backend("b", fixed={"language": "en"})
    assert backend.refuses(replace(DecodeContract(), language="de")) is not None
    assert backend.refuses(DecodeContract()) is None


@every_backend
@pytest.mark.parametrize("name", CONTRACTS)
def test_every_backend_declares_every_setting_of_every_contract(
    backend: Backend, name: str
) -> None:
    assert not backend.broken
    assert list(backend.decodes_with(CONTRACTS[name])) == list(SETTING_NAMES)
    assert {*backend.fixed, *backend.instead, *backend.shipped} <= set(SETTING_NAMES)


def test_a_network_of_its_own_is_run_beside_whisper_and_named_for_itself() -> None:
    backend = Backend("b", networks=("moonshine-tiny-en",))
    assert backend.network_for("tiny.en") == "moonshine-tiny-en"
    assert backend.network_for("moonshine-tiny-en") == "moonshine-tiny-en"
    assert backend.network_for("parakeet-tdt-0.6b-v2") is None
    assert Backend("whisper").network_for("moonshine-tiny-en") is None


def test_the_matrix_shows_every_backend_and_what_it_cannot_keep(tool: Tool) -> None:
    done = tool("backends", "contract", "--contract", "beam5")
    assert done.returncode == 0, done.stderr
    for backend in BACKENDS:
        assert any(line.startswith(backend.name) for line in done.stdout.splitlines())
    assert "mlx-whisper is not run under beam5: beam_size is always 1" in done.stdout


def test_the_matrix_as_json_is_what_the_backends_declare(tool: Tool) -> None:
    document = json.loads(tool("backends", "contract", "--json").stdout)
    assert document["contract"] == {"name": "greedy", **DecodeContract().settings()}
    for backend in BACKENDS:
        row = document["backends"][backend.name]
        assert row["settings"] == backend.decodes_with(DecodeContract())
        assert row["refused"] is None
