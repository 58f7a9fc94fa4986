"""Networks that macOS keeps, as a user's process shows, installs and measures them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Tool
from fakes.apple_speech import StandInBridge

LOCALES = ("apple-speech-en-us", "apple-speech-de-de", "apple-speech-ja-jp")
MODELS = [word for model in LOCALES for word in ("-m", model)]


@pytest.fixture
def bridge(tmp_path: Path) -> StandInBridge:
    return StandInBridge(tmp_path)


@pytest.mark.parametrize("method", ["auto", "checksum"])
def test_the_state_is_the_system_s(tool: Tool, bridge: StandInBridge, method: str) -> None:
    call = ("check-models", "--verify-method", method, "-b", bridge.describe(), *MODELS)
    done = tool(*call, "--json")
    assert done.returncode == 6, done.stderr
    assert {row["model"]: (row["state"], row["next"]) for row in done.run["rows"]} == {
        "apple-speech-en-us": ("installed by the system", "macOS 26.0.0 (25A354)"),
        "apple-speech-de-de": (
            "absent",
            "not installed: speedtest models pull apple-speech-de-de",
        ),
        "apple-speech-ja-jp": ("unavailable", "macOS 26.0.0 (25A354) does not support ja-JP"),
    }
    assert bridge.calls == ["assets"]


def test_a_cache_check_starts_no_process(tool: Tool, bridge: StandInBridge) -> None:
    done = tool(
        "check-models", "--verify-method", "cache-check", "-b", bridge.describe(), *MODELS, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert {row["state"] for row in done.run["rows"]} == {"not known"}
    assert bridge.calls == []


def test_a_load_is_tried_where_the_system_has_the_network(
    tool: Tool, bridge: StandInBridge
) -> None:
    done = tool("check-models", "--load", "-b", bridge.describe(), *MODELS, "--json")
    assert done.returncode == 6, done.stderr
    loads = {row["model"]: row["load"] and row["load"]["outcome"] for row in done.run["rows"]}
    assert loads == dict.fromkeys(LOCALES) | {"apple-speech-en-us": "loaded"}


def test_what_is_not_known_shares_a_line(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = tool("check-models", "-b", "apple-speech", "-b", "apple-speech-progressive")
    assert done.returncode == 0, done.stderr
    assert "for apple-speech, apple-speech-progressive: apple-speech-en-us, " in done.stdout


def test_a_pull_has_the_system_install_it(tool: Tool, bridge: StandInBridge) -> None:
    described = bridge.describe()
    done = tool("models", "pull", "apple-speech-de-de", "--backend", described)
    assert (done.returncode, done.stdout) == (
        0,
        "weights of apple-speech-de-de: macOS 26.0.0 (25A354)\n",
    ), done.stderr
    assert bridge.calls == ["assets", "install de-DE"]
    after = tool("check-models", "-b", described, "-m", "apple-speech-de-de", "--json")
    assert [row["state"] for row in after.run["rows"]] == ["installed by the system"]


@pytest.mark.skipif("sys.platform == 'darwin'")
@pytest.mark.parametrize("options", [(), ("--backend", "apple-speech")])
def test_elsewhere_a_pull_says_where_it_works(tool: Tool, options: tuple[str, ...]) -> None:
    done = tool("models", "pull", "apple-speech-en-us", *options)
    assert done.returncode == 2
    assert "a part of macOS 26 and newer on Apple silicon; this is " in done.stderr


@pytest.mark.skipif("sys.platform == 'darwin'")
def test_elsewhere_nothing_is_released(tool: Tool) -> None:
    dry = tool("models", "remove", "apple-speech-en-us", "--dry-run")
    kept = "apple-speech-en-us: macOS keeps it, and may remove it once it is released\n"
    assert (dry.returncode, dry.stdout) == (0, kept), dry.stderr
    done = tool("models", "remove", "apple-speech-en-us", "--yes")
    assert done.returncode == 2
    assert "a part of macOS 26 and newer on Apple silicon; this is " in done.stderr


@pytest.mark.parametrize("command", ["path", "verify"])
def test_there_is_no_file_to_show(tool: Tool, command: str) -> None:
    done = tool("models", command, "apple-speech-en-us")
    assert done.returncode == 2
    assert "has no files here: macOS keeps its network" in done.stderr


def test_a_run_measures_it_without_a_path(tool: Tool, bridge: StandInBridge, tone: Path) -> None:
    options = ["--audio", tone, "--rounds", 1, "--passes", 1, "--cold-load", "--json"]
    done = tool("run", "-m", "apple-speech-en-us", "-b", bridge.describe(), *options)
    assert done.returncode == 0, done.stderr
    (cell,) = done.run["cells"]
    weights = cell["model"]["weights"]
    assert (weights["files"], weights["source"]) == ({}, "installed by macOS")
    assert "install" not in " ".join(bridge.calls)


def test_no_repair_is_tried_of_what_has_no_files(
    tool: Tool, bridge: StandInBridge, tone: Path
) -> None:
    described = bridge.describe()
    described.write_text(described.read_text().replace("takes_no_path", "bad_model"))
    options = ["--audio", tone, "--rounds", 1, "--passes", 1, "--repair", "--json"]
    done = tool("run", "-m", "apple-speech-en-us", "-b", described, *options)
    assert done.returncode == 4, done.stderr
    assert "read again" not in done.stderr


def test_a_locale_of_another_language_is_refused(
    tool: Tool, bridge: StandInBridge, tone: Path
) -> None:
    options = ["--audio", tone, "--language", "en"]
    done = tool("run", "-m", "apple-speech-de-de", "-b", bridge.describe(), *options)
    assert done.returncode == 2
    assert "apple-speech-de-de knows only 'de', but the language is 'en'" in done.stderr
