"""``speedtest backends info NAME --model MODEL``: everything of ModelInfo, and what is here."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Call
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.cli import documents
from mac_whisper_speedtest.declared import Doc, declarations
from mac_whisper_speedtest.weights import hashes

Facts = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder; whoever hashes a file fails."""
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))

    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("a file was hashed")

    monkeypatch.setattr(hashes, "sha256_files", refuse)
    return tmp_path


@pytest.fixture
def facts(speedtest: Call) -> Facts:
    return lambda name, model: speedtest("backends", "info", name, "-m", model, "--json").json


def test_a_model_is_shown_with_files_locations_and_time_outs(facts: Facts) -> None:
    row = catalog.find_hosted("small", "ctranslate2")
    assert row is not None
    told = facts("faster-whisper", "small")
    assert {key: told[key] for key in ("model", "format", "precision", "license", "obtained")} == {
        "model": "small",
        "format": "ctranslate2",
        "precision": "float16",
        "license": "MIT",
        "obtained": "as published",
    }
    assert (told["repository"], told["revision"]) == (row.repository, row.revision)
    assert [(each["name"], each["size_bytes"], each["sha256"]) for each in told["files"]] == [
        (file.name, file.size, file.sha256) for file in row.files
    ]
    (hub,) = told["locations"]
    assert (hub["kind"], hub["state"], hub["used_by_run"]) == ("hub", "absent", True)
    assert hub["holds"] == f"{row.repository}@{row.revision}"
    assert hub["path"].startswith("~/.cache/huggingface/hub/models--Systran--faster-whisper-small/")
    assert told["size_class"] == "small"
    assert told["timeouts"]["first_call"] == {"base_s": 720.0, "per_audio_s": 60.0}
    assert told["replaced_by_timeout"]["check-models"] == ["load"]


def test_what_is_here_is_told_by_names_and_sizes(facts: Facts, home: Path) -> None:
    row = catalog.find_hosted("tiny", "ctranslate2")
    assert row is not None
    folder = home / ".cache/huggingface/hub/models--Systran--faster-whisper-tiny/snapshots"
    folder = folder / str(row.revision)
    folder.mkdir(parents=True)
    states = []
    for file in row.files:
        with (folder / file.name).open("wb") as stream:
            stream.truncate(file.size)
        (hub,) = facts("faster-whisper", "tiny")["locations"]
        states.append(hub["state"])
    assert states == ["partial"] * (len(row.files) - 1) + ["complete"]
    assert hub["size_bytes"] == sum(file.size or 0 for file in row.files)


def test_what_a_conversion_is_put_beside_is_named_too(speedtest: Call, facts: Facts) -> None:
    row = catalog.find_hosted("small", "ggml-coreml")
    assert row is not None
    beside = facts("whisper.cpp-coreml", "small")["beside"]
    assert (beside["repository"], beside["revision"]) == (row.repository, row.revision)
    assert (beside["name"], beside["sha256"]) == (row.files[0].name, row.files[0].sha256)
    assert facts("whisper.cpp", "small")["beside"] is None
    out = speedtest("backends", "info", "whisper.cpp-coreml", "-m", "small").out
    assert "beside      ggml-small-encoder.mlmodelc.zip: 163 MB, sha256 de43fb9fed47…" in out


def test_a_converted_format_names_what_it_is_converted_from(speedtest: Call, facts: Facts) -> None:
    told = facts("whisper.cpp:q5_0", "large-v3-turbo")
    assert told["obtained"].startswith(
        "converted from mobiuslabsgmbh/faster-whisper-large-v3-turbo@"
    )
    assert (told["backend"], told["precision"]) == ("whisper.cpp:q5_0", "q5_0")
    out = speedtest("backends", "info", "whisper.cpp:q5_0", "-m", "large-v3-turbo").out
    assert "obtained    converted from the files below\n" in out
    assert re.search(r"^files +model\.bin: 1\.62 GB, sha256 e76620f83d5f…$", out, re.MULTILINE)
    assert "pywhispercpp's folder: absent; not used by run\n" in out
    assert "transcribe: 600 s and 60 s for each second of audio\n" in out
    assert "of run replaces load, first call, transcribe\n" in out
    assert "of check-models replaces load\n" in out


def test_a_model_that_a_backend_cannot_run_says_why(speedtest: Call, facts: Facts) -> None:
    told = facts("whisper.cpp", "parakeet-tdt-0.6b-v2")
    assert (told["obtained"], told["files"], told["locations"]) == ("", [], [])
    out = speedtest("backends", "info", "whisper.cpp", "-m", "parakeet-tdt-0.6b-v2").out
    assert "obtained    not: ggml holds whisper networks" in out


@pytest.mark.parametrize("model", ["small", "large-v3-turbo", "tiny.en", "tiny"])
@pytest.mark.parametrize(
    "name", ["faster-whisper", "whisper.cpp", "moonshine-voice", "whisper-mps"]
)
def test_it_fits_a_terminal_of_80_columns(
    speedtest: Call, monkeypatch: pytest.MonkeyPatch, name: str, model: str
) -> None:
    for key, value in {"FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(key, value)
    out = re.sub(r"\x1b\[[0-9;]*m", "", speedtest("backends", "info", name, "-m", model).out)
    assert max(map(len, out.splitlines())) <= 80
    plain = speedtest("backends", "info", name, "-m", model, "--json").json
    assert "".join(plain["locations"][0]["path"].split()) in "".join(out.split())


@pytest.mark.parametrize(
    ("name", "model", "message", "near"),
    [
        ("whispercppp", "tiny", "unknown backend 'whispercppp'", "whispercpp"),
        ("whisper.cpp", "smal", "unknown model 'smal'", "did you mean small"),
        ("whisper.cpp", "large", "'large' means different networks", "large-v3"),
        ("whisper.cpp", "me/mine@main", "needs a whole commit", "40 hexadecimal digits"),
    ],
)
def test_what_nobody_knows_is_refused_with_the_nearest_names(
    speedtest: Call, name: str, model: str, message: str, near: str
) -> None:
    done = speedtest("backends", "info", name, "--model", model)
    assert done.code == 2
    assert message in done.err
    assert near in done.err


def test_every_key_of_the_json_is_documented(facts: Facts) -> None:
    found = facts("whisper.cpp-coreml", "small")
    for part, kind in (
        (found, documents.ModelFacts),
        (found["files"][0], documents.ModelFile),
        (found["beside"], documents.FileBeside),
        (found["locations"][0], documents.ModelLocation),
        (found["timeouts"]["load"], documents.StageTimeout),
    ):
        assert part.keys() == declarations(kind, Doc).keys()
