"""A set in several languages: each recording is measured and scored in its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import Finished, Tool, describe_fake, write_tone
from fakes.recordings import collection
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.backends.contract import OWN_LANGUAGE, DecodeContract
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s

SPOKEN = [
    ("un", 2.0, "fr", "le petit chien dort"),
    ("dva", 3.0, "ru", "маленькая собака спит"),
    ("deux", 2.0, "fr", "le petit chat dort"),
]


def describe(folder: Path, name: str) -> Path:
    path = describe_fake(folder, name, adapter=f"pitfalls:{name}")
    path.write_text(path.read_text("utf-8").replace('"tiny.en"', '"base"'), encoding="utf-8")
    return path


def listed(folder: Path, **changes: dict[str, str | None]) -> Path:
    """The manifest of `SPOKEN`; ``changes`` are of a recording's entry."""
    entries = []
    for name, seconds, language, text in SPOKEN:
        audio = write_tone(folder / f"{name}.wav", seconds)
        entry: dict[str, Any] = {"audio_filepath": audio.name, "lang": language, "text": text}
        entry |= changes.get(name, {})
        entries.append({key: value for key, value in entry.items() if value is not None})
    path = folder / "talks.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("set")


@pytest.fixture(scope="module")
def tool_of_module(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return Tool(tmp_path_factory.mktemp("tmp"))


def measured(tool: Tool, folder: Path, *options: str) -> Finished:
    backends = [word for name in ("Polyglot", "English", "Confused") for word in ("-b", name)]
    paths = [describe(folder, word) if word != "-b" else word for word in backends]
    done = tool(
        *("run", "-m", "base", "--manifest", listed(folder), "--rounds", 1, "--passes", 1),
        *("--reference", "Polyglot", "--json", *options, *paths),
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def own(tool_of_module: Tool, folder: Path) -> Finished:
    """Nothing is said of languages but in the manifest."""
    return measured(tool_of_module, folder)


@pytest.fixture(scope="module")
def left_to_backends(tool_of_module: Tool, folder: Path) -> Finished:
    return measured(tool_of_module, folder, "--language", "auto")


def found(cell: dict[str, Any], kind: str) -> str:
    return next(
        (each["message"] for each in cell["summary"]["findings"] if each["kind"] == kind), ""
    )


def test_each_recording_is_decoded_in_its_own_language(own: Finished) -> None:
    cell = own.cell("Polyglot")
    timed = [each for each in cell["samples"] if each["kind"] == "timed"]
    assert [each["language"] for each in timed] == ["fr", "ru", "fr"]
    assert own.run["manifest"]["request"]["contract"]["language"] == OWN_LANGUAGE
    assert cell["contract"]["effective"]["language"] == OWN_LANGUAGE
    assert cell["contract"]["deviations"] == []
    assert found(cell, "contract") == ""


def test_the_error_rate_is_given_over_all_and_for_each_language(own: Finished) -> None:
    accuracy = own.cell("Polyglot")["summary"]["accuracy"]
    assert accuracy["rate"] == pytest.approx(1 / 11)
    rates = {each["language"]: each["rate"] for each in accuracy["languages"]}
    assert rates == {"fr": pytest.approx(1 / 8), "ru": 0.0}
    assert {each["language"]: each["utterances"] for each in accuracy["languages"]} == {
        "fr": 2,
        "ru": 1,
    }


@pytest.mark.parametrize(
    ("name", "other", "message"),
    [
        ("English", "en", "decoded 3 of 3 recordings in the wrong language"),
        ("Confused", "fr", "decoded 1 of 3 recordings in the wrong language"),
    ],
)
def test_a_recording_in_another_language_than_its_own_is_a_deviation_and_a_finding(
    own: Finished, name: str, other: str, message: str
) -> None:
    cell = own.cell(name)
    assert [each["effective"] for each in cell["contract"]["deviations"]] == [other]
    assert f"language: {other} instead of the own" in found(cell, "contract")
    assert message in found(cell, "contract")
    assert cell["summary"]["group"] != own.cell("Polyglot")["summary"]["group"]


def test_a_language_that_is_left_to_the_backends_is_shown_and_judged(
    left_to_backends: Finished,
) -> None:
    assert left_to_backends.run["manifest"]["request"]["contract"]["language"] is None
    cells = {name: left_to_backends.cell(name) for name in ("Polyglot", "English", "Confused")}
    effective = {name: each["contract"]["effective"]["language"] for name, each in cells.items()}
    assert effective == {"Polyglot": OWN_LANGUAGE, "English": "en", "Confused": "fr"}
    assert all(each["contract"]["deviations"] == [] for each in cells.values())
    assert found(cells["Polyglot"], "contract") == ""
    assert "decoded 3 of 3 recordings" in found(cells["English"], "contract")
    assert "ru" in found(cells["Confused"], "contract")


def test_the_terminal_shows_the_rates_by_language(own: Finished, tool_of_module: Tool) -> None:
    run = str(own.run["manifest"]["run"])
    shown = tool_of_module("show", run, "--wide")
    assert "3 utterances in fr, ru" in shown.stdout
    assert "Polyglot 1.0 auto: WER by language: fr 12.5%, ru 0.0%" in shown.stdout
    scored = " ".join(tool_of_module("score", run).stdout.split())
    assert "WER fr" in scored
    assert "12.50%" in scored


def test_a_network_for_english_alone_is_refused_with_what_to_do(tool: Tool, tmp_path: Path) -> None:
    done = tool("run", "-m", "tiny.en", "--manifest", listed(tmp_path), "-b", "faster-whisper")
    assert done.returncode == 2
    assert "tiny.en knows only English, but recordings are in 'fr', 'ru'" in done.stderr
    assert (
        "use a multilingual model, such as tiny; or list the recordings in English" in done.stderr
    )


def test_a_recording_without_a_language_among_others_is_named_and_auto_helps(
    tool: Tool, tmp_path: Path
) -> None:
    backend = describe(tmp_path, "Polyglot")
    manifest = listed(tmp_path, deux={"lang": None})
    words = ["run", "-m", "base", "--manifest", manifest, "-b", backend, "--rounds", 1, "--json"]
    done = tool(*words)
    assert done.returncode == 2
    assert "1 of 3 recordings of talks.jsonl have no language, such as deux" in done.stderr
    assert "--language auto" in done.stderr
    assert tool(*words, "--language", "auto").returncode == 0


@pytest.mark.parametrize("given", ["french", "f", "1"])
def test_what_is_no_language_is_refused(tool: Tool, given: str) -> None:
    done = tool("run", "-m", "base", "--language", given)
    assert done.returncode == 2
    assert f"--language is {given!r}, not the code of a language" in done.stderr


def in_languages(*languages: str) -> s.Manifest:
    speech = collection()
    recordings = zip(speech.recordings, languages, strict=True)
    speech = replace(
        speech, recordings=tuple(replace(each, language=code) for each, code in recordings)
    )
    contract = {"name": "greedy", **DecodeContract(language=OWN_LANGUAGE).settings()}
    return run_of(FakeCell("a"), speech=speech, rounds=1, request={"contract": contract}).manifest


def test_runs_whose_recordings_were_decoded_in_other_languages_are_not_comparable() -> None:
    assert comparable.differences(in_languages("fr", "ru"), in_languages("fr", "ru")) == []
    assert comparable.differences(in_languages("fr", "ru"), in_languages("ru", "fr")) == [
        "the contract differs: some recordings were decoded in another language"
    ]
