"""check-models of Core ML weights through a bridge: names, hashes, and a load without a network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import FAKES
from fakes.hub import Hub
from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.backends import fluidaudio, whisperkit
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.weights import pull
from mac_whisper_speedtest.weights.check import CacheCheck
from mac_whisper_speedtest.weights.check_models import (
    CheckMethod,
    CheckRequest,
    CheckRow,
    check_models,
)
from mac_whisper_speedtest.weights.inspect import Evidence, WeightsState
from mac_whisper_speedtest.worker.load_check import LoadOutcome

from .conftest import Seen

FLUID = "Library/Application Support/FluidAudio/Models/parakeet-tdt-0.6b-v3"


def stand_in(backend: Backend) -> Backend:
    """The backend, run by a program that looks for weights as its framework does."""
    program = str(FAKES / "coreml_bridge.py")
    return replace(backend, command=(sys.executable, program, backend.name))


WHISPERKIT = stand_in(whisperkit.BACKEND)
FLUIDAUDIO = stand_in(fluidaudio.BACKEND)
Checked = Callable[[Backend, str, CheckMethod], CheckRow]


@pytest.fixture
def checked() -> Checked:
    def check(backend: Backend, model: str, method: CheckMethod) -> CheckRow:
        (row,) = check_models(CheckRequest((backend,), (model,), method)).rows
        return row

    return check


@pytest.fixture
def folder(hub: Hub, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """WhisperKit's weights of tiny.en, pulled and put together."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    row = catalog.find_hosted("tiny.en", "whisperkit")
    assert row is not None
    assert row.revision is not None
    assert row.tokenizer is not None
    files: dict[str, bytes | Path] = {
        f"{row.folder}/{bundle}/{name}": f"{bundle} {name}".encode()
        for bundle in row.kind.bundles
        for name in ("weights/weight.bin", "coremldata.bin", "model.mil")
    }
    files |= {f"{row.folder}/{name}": b"{}" for name in ("config.json", "generation_config.json")}
    hub.add(row.repository, row.revision, files)
    tokenizer = {file.name: b"{}" for file in row.tokenizer.files}
    hub.add(row.tokenizer.repository, row.tokenizer.revision, {**tokenizer})
    return pull.pull_row(row, notify=seen.messages.append)


def test_names_and_sizes_then_hashes_then_a_load(folder: Path, checked: Checked, hub: Hub) -> None:
    hub.log.clear()
    named = checked(WHISPERKIT, "tiny.en", CheckMethod.CACHE_CHECK).check
    assert (named.state, named.evidence) == (WeightsState.COMPLETE, Evidence.SIZES)
    hashed = checked(WHISPERKIT, "tiny.en", CheckMethod.CHECKSUM).check
    assert (hashed.state, hashed.evidence) == (WeightsState.COMPLETE, Evidence.HASHES)
    load = checked(WHISPERKIT, "tiny.en", CheckMethod.LOAD).load
    assert load is not None
    assert (load.outcome, load.version, load.hosts) == (LoadOutcome.LOADED, "1.1.0", ())
    assert hub.log == []


@pytest.mark.usefixtures("folder")
def test_the_tokenizer_that_it_needs_is_no_partial_copy_of_what_others_load() -> None:
    """Both are files of one repository, openai/whisper-tiny.en."""
    info = catalog.model_info("tiny.en", "huggingface", "float16", backend="insanely-fast-whisper")
    (own,) = (
        copy
        for copy in CacheCheck().check(info).copies
        if copy.location.hub_repository == "openai/whisper-tiny.en"
    )
    assert (own.state, own.files) == (WeightsState.ABSENT, ())
    # With a file that is transformers' alone, it is one.
    (own.location.folder / "config.json").write_bytes(b"{}")
    copies = CacheCheck().check(info).copies
    (own,) = (copy for copy in copies if copy.location == own.location)
    assert own.state is WeightsState.PARTIAL
    assert "model.safetensors is missing" in own.problems


def test_a_bridge_that_would_fetch_a_tokenizer_is_refused_and_the_hub_is_named(
    folder: Path, checked: Checked, hub: Hub
) -> None:
    (folder / "tokenizer_config.json").unlink()
    hub.log.clear()
    row = checked(WHISPERKIT, "tiny.en", CheckMethod.LOAD)
    assert row.check.state is WeightsState.PARTIAL
    assert "tokenizer_config.json is missing" in row.check.problems
    assert row.load is not None
    assert row.load.outcome is LoadOutcome.WOULD_DOWNLOAD
    assert row.load.hosts == ("huggingface.co",)
    assert hub.log == []  # HF_ENDPOINT leads there, for all but the worker


def fluidaudios_own_copy(home: Path) -> Path:
    base = home / FLUID
    for bundle in ("Preprocessor", "Encoder", "Decoder", "JointDecisionv3"):
        for name in ("coremldata.bin", "model.mil", "weights/weight.bin"):
            path = base / f"{bundle}.mlmodelc" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"core")
    (base / "parakeet_vocab.json").write_bytes(b"{}")
    return base


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path


def test_fluidaudios_own_copy_is_loaded_where_it_is(home: Path, checked: Checked) -> None:
    fluidaudios_own_copy(home)
    row = checked(FLUIDAUDIO, "parakeet-tdt-0.6b-v3", CheckMethod.LOAD)
    assert (row.check.state, row.check.evidence) == (WeightsState.COMPLETE, Evidence.NAMES)
    assert row.load is not None
    assert (row.load.outcome, row.load.hosts) == (LoadOutcome.LOADED, ())


def test_fluidaudios_registry_is_refused_too(home: Path, checked: Checked) -> None:
    (fluidaudios_own_copy(home) / "parakeet_vocab.json").unlink()
    load = checked(FLUIDAUDIO, "parakeet-tdt-0.6b-v3", CheckMethod.LOAD).load
    assert load is not None
    assert (load.outcome, load.hosts) == (LoadOutcome.WOULD_DOWNLOAD, ("huggingface.co",))


@pytest.mark.parametrize("backend", [WHISPERKIT, FLUIDAUDIO], ids=lambda backend: backend.name)
def test_time_outs_are_those_of_the_size_class(backend: Backend) -> None:
    """The figures of field reports, in seconds: the first load of all compiles for the ANE."""
    first_loads = {"tiny": 10, "base": 10, "small": 30, "medium": 80, "large-v3-turbo": 109}
    parakeet = {"parakeet-tdt-0.6b-v2": 15, "parakeet-tdt-0.6b-v3": 15}
    for model, seen_s in (parakeet if backend.networks else first_loads).items():
        assert backend.model_info(model).timeouts.load_s >= 4 * seen_s
