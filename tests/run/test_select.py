"""Which backends a run measures, and what it says of the others."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Call, Tool
from fakes.hub import Hub
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.backend import Backend, BackendModel
from mac_whisper_speedtest.backends.fluidaudio import BACKEND as FLUIDAUDIO
from mac_whisper_speedtest.backends.recipe import Recipe
from mac_whisper_speedtest.backends.whisperkit import BACKEND as WHISPERKIT
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.request import Request, from_keywords
from mac_whisper_speedtest.run.select import WeightsNeededError, measurable

HERE = Backend("here", command=("true",), weights_format="ggml")
CUDA = Backend("cuda-only", command=("true",), weights_format="ggml", devices=("cuda",))
GONE = Backend(
    "gone",
    adapter="gone:Gone",
    import_name="no_such_module",
    weights_format="mlx",
    recipe=Recipe(name="gone", distribution="gone", version="1"),
)
OTHER = Backend("other", command=("true",), networks=("moonshine-tiny-en",))
FLUID = replace(FLUIDAUDIO, command=("true",))
COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A machine without weights, and a hub."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "SPEEDTEST_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    with Hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


def names(request: Request, backends: list[Backend], said: list[str]) -> list[str]:
    return [each.name for each in measurable(request, backends, notify=said.append)]


def test_without_names_a_run_takes_what_is_installed_and_can_run_the_model(said: list[str]) -> None:
    asked = from_keywords(models="tiny.en", device="cpu")
    assert names(asked, [OTHER, HERE, GONE, CUDA], said) == ["here"]
    assert said == [
        "left out: cuda-only (has no device cpu here (it has cuda))",
        "1 more backend can be installed: speedtest backends install --all",
    ]


def test_a_network_of_another_family_is_measured_when_it_is_asked_for(said: list[str]) -> None:
    asked = from_keywords(models="moonshine-tiny-en")
    assert names(asked, [OTHER, HERE], said) == ["other"]
    named = from_keywords(models="tiny.en", backends=("other", "here"))
    assert names(named, [OTHER, HERE], said) == ["other", "here"]
    assert said == []


def test_with_nothing_installed_it_says_what_to_type(said: list[str]) -> None:
    with pytest.raises(UsageError, match=r"no backend that can run tiny\.en like this") as refused:
        names(from_keywords(models="tiny.en"), [GONE], said)
    assert refused.value.hint == "speedtest backends install --all"


def test_a_named_backend_that_is_not_installed_stays_and_is_reported(said: list[str]) -> None:
    asked = from_keywords(models="tiny.en", backends=("here", "gone"))
    assert names(asked, [HERE, GONE], said) == ["here", "gone"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backends": "mlx-whisper", "device": "nope"}, "has no device nope here (it has cpu, "),
        ({"device": "cuuda"}, "no backend has the device 'cuuda'"),
        ({"precision": "int3"}, "no backend has the precision 'int3'"),
        ({"backends": "whisper.cpp:q9"}, "whisper.cpp:q9 has no q9 weights (it has float16"),
        ({"backends": "mlx-whisper", "precision": "q4_0"}, "mlx-whisper does not compute in q4_0"),
    ],
)
def test_what_a_named_backend_does_not_have_is_refused_before_anything_starts(
    speedtest: Call, options: dict[str, str], words: str
) -> None:
    arguments = [word for name, value in options.items() for word in (f"--{name[:9]}", value)]
    arguments = ["--backend" if word == "--backends" else word for word in arguments]
    refused = speedtest("run", "--model", "tiny.en", *arguments)
    assert refused.code == ExitCode.USAGE
    assert words in refused.err
    assert "speedtest backends info" in refused.err


def test_a_reference_that_is_not_measured_is_refused(speedtest: Call) -> None:
    refused = speedtest(
        "run", "-m", "tiny.en", "-b", "whisper.cpp", "--reference", "faster-whisper"
    )
    assert refused.code == ExitCode.USAGE
    assert "--reference is 'faster-whisper', which this run does not measure" in refused.err
    assert "it measures whisper.cpp" in refused.err


def test_without_any_weights_it_says_how_much_there_is_to_fetch_and_stores_nothing(
    hub: Hub, speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    refused = speedtest("run", "--model", "small", "-b", "faster-whisper", "-b", "whisper.cpp")
    assert refused.code == ExitCode.WEIGHTS_MISSING
    assert "no weights for small are on this machine: 486 MB to fetch" in refused.err
    assert "add --pull, or: speedtest models pull small" in refused.err
    assert speedtest("results", "list").out == "no runs yet\n"
    assert hub.log == []


def test_a_backend_that_cannot_run_here_is_a_result_and_needs_no_weights(
    hub: Hub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "this_platform", lambda: "linux-x86_64")
    alone = from_keywords(models="small", backends="whisperkit", pull=True)
    assert names(alone, [WHISPERKIT], said) == ["whisperkit"]
    assert hub.log == []
    with pytest.raises(WeightsNeededError) as refused:
        names(from_keywords(models="small", backends=("x", "y")), [WHISPERKIT, FLUID], said)
    command = "speedtest models pull parakeet-tdt-0.6b-v2 --format fluidaudio"
    assert refused.value.hint == f"add --pull, or: {command}"


def test_a_backend_without_weights_is_left_out_of_a_run_that_names_none(
    hub: Hub, said: list[str], tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"x")
    own = Backend("own", command=("true",), models={"small": BackendModel(path=weights)})
    assert names(from_keywords(models="small"), [HERE, own], said) == ["own"]
    assert said == ["no weights for here: add --pull to fetch them"]
    named = from_keywords(models="small", backends=("here", "own"))
    assert names(named, [HERE, own], said) == ["here", "own"]


def test_pull_fetches_what_is_missing(hub: Hub, said: list[str], tmp_path: Path) -> None:
    hub.add("someone/small", COMMIT, {"model.safetensors": b"w" * 1000, "config.json": b"{}"})
    model = f"someone/small@{COMMIT}"
    pulled = from_keywords(models=model, backends="here", pull=True)
    assert names(pulled, [HERE], said) == ["here"]
    assert [path.name for path in (tmp_path / "hub").rglob("model.safetensors")]


def test_a_terminal_is_asked_and_the_answer_is_no_unless_it_is_yes(tool: Tool) -> None:
    controller, device = os.openpty()
    environment = tool.environment | {"SPEEDTEST_OFFLINE": "1"}
    command = [sys.executable, "-m", "mac_whisper_speedtest", "run", "--model", "small"]
    with subprocess.Popen(
        [*command, "-b", "faster-whisper"],
        stdin=device,
        stderr=device,
        stdout=device,
        env=environment,
    ) as asked:
        os.close(device)
        os.write(controller, b"\n")
        assert asked.wait(60) == ExitCode.WEIGHTS_MISSING
    shown = os.read(controller, 10_000).decode()
    os.close(controller)
    assert "486 MB to fetch. Fetch now? [y/N]" in shown.replace("\r\n", "")
