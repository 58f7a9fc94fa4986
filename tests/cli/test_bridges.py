"""``speedtest backends`` with a bridge, on a made-up Mac and elsewhere."""

from __future__ import annotations

import functools
import io
import re
import sys
from pathlib import Path

import pytest

from conftest import Call
from environments.test_swift import left
from fakes.swift_tools import StandInTools, on_a_mac
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.whisperkit import BACKEND, RECIPE
from mac_whisper_speedtest.cli import backends as cli_backends
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.worker.launch import not_installed


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInTools:
    """The tools of a made-up Mac, with a cache of its own."""
    return on_a_mac(tmp_path, monkeypatch)


@pytest.fixture
def backends(speedtest: Call) -> Call:
    """Call ``speedtest backends``."""
    return functools.partial(speedtest, "backends")


@pytest.mark.usefixtures("tools")
def test_a_bridge_is_shown_and_removed_like_any_backend(backends: Call) -> None:
    def facts() -> dict[str, object]:
        found: dict[str, object] = backends("info", "whisperkit", "--json").json
        return found

    assert facts()["runs_from"] == "not installed"
    code, out, err = backends("install", "whisperkit")
    assert (code, out) == (0, "whisperkit 1.1.0 is installed as a program\n")
    assert "building with Swift 6.1.2" in err
    shown = facts()
    assert (shown["runs_from"], shown["version"]) == ("built here", "1.1.0")
    assert shown["needs"] == ["Swift 6.0 or newer", "macOS 14 or newer"]
    assert shown["build_bytes"] == RECIPE.build_bytes
    _, out, _ = backends("info", "whisperkit")
    assert "1.1.0 (Swift 6.1.2, " in out
    assert "with argmax-oss-swift 1.1.0 1e2a1637" in out
    rows = backends("list").out.splitlines()
    assert "built here" in next(row for row in rows if row.startswith("whisperkit "))
    code, out, _ = backends("remove", "whisperkit")
    assert code == 0
    assert "whisperkit 1.1.0: removed, " in out
    assert left() == []
    assert backends("remove", "whisperkit").out == "whisperkit: it has not been built here\n"


def test_without_a_terminal_a_line_now_and_then_shows_that_a_build_goes_on(
    tools: StandInTools, backends: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.plan("slow")
    assert "building: [" not in backends("install", "whisperkit").err
    backends("remove", "whisperkit")
    monkeypatch.setattr(cli_backends, "_SHOWN_EVERY_S", 0.0)
    err = backends("install", "whisperkit").err
    assert "building: [1/3] Compiling SpeedtestProtocol Engine.swift\n" in err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_step_begins_on_a_line_of_its_own(
    tools: StandInTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.plan("slow")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "argv", ["speedtest", "backends", "install", "whisperkit"])
    assert cli.main() == 0
    shown = terminal.getvalue()
    assert "\r\x1b[J[1/3] Compiling SpeedtestProtocol Engine.swift\r\x1b[J" in shown
    assert re.search(r"\r\x1b\[Jwhisperkit 1\.1\.0: done in [\d.]+ s, 0 MB\n\r\x1b\[J$", shown)


def test_removing_also_frees_what_an_unfinished_build_keeps(
    tools: StandInTools, backends: Call
) -> None:
    tools.plan("compile error")
    assert backends("install", "whisperkit").code == ExitCode.USAGE
    assert len(left()) == 1
    assert "removed an unfinished build" in backends("remove", "whisperkit").out
    assert left() == []


def test_all_leaves_out_what_cannot_be_built_here_or_is_too_large(
    tools: StandInTools, backends: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "installed", lambda: {"whisperkit": BACKEND})
    tools.plan("no tools")
    code, out, err = backends("install", "--all")
    assert (code, out) == (0, "")
    assert "whisperkit: left out: the Command Line Tools of Xcode are not installed" in err
    tools.plan()
    assert "2.5 GB is more than 2.0 GB" in backends("install", "--all", "--max-size", "2GB").err
    assert backends("install", "--all").out == "whisperkit 1.1.0 is installed as a program\n"


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("verb", ["lock", "upgrade"])
def test_the_release_of_the_tool_fixes_the_packages_of_a_bridge(backends: Call, verb: str) -> None:
    code, _, err = backends(verb, "whisperkit")
    assert code == ExitCode.USAGE
    assert "whisperkit has no locks: the release of this tool pins its packages, at 1.1.0" in err


@pytest.mark.skipif(sys.platform == "darwin", reason="about other systems")
def test_elsewhere_it_is_macos_only(
    backends: Call, speedtest: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))
    code, _, err = backends("install", "whisperkit")
    assert code == ExitCode.USAGE
    assert f"whisperkit: macOS only (this is {recipes.this_platform()}" in err
    assert backends("info", "whisperkit", "--json").json["runs_from"] == "macOS only"
    assert not_installed(BACKEND) == "not for this machine: macOS only"
    assert list(tmp_path.iterdir()) == []
