"""What a Mac lacks for building a bridge is reported with the command to type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes.swift_tools import StandInTools, on_a_mac
from mac_whisper_speedtest.backends.whisperkit import RECIPE
from mac_whisper_speedtest.environments import toolchain
from mac_whisper_speedtest.errors import UsageError


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInTools:
    """The tools of a made-up Mac."""
    return on_a_mac(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("plan", "message", "hint"),
    [
        ({"faults": "no tools"}, "Command Line Tools of Xcode are not", "xcode-select --install"),
        ({"faults": "license"}, "license of Xcode", "sudo xcodebuild -license accept"),
        ({"version": "5.10.1"}, "needs Swift 6.0 or newer; this is 5.10.1", "softwareupdate"),
    ],
)
def test_what_is_missing_is_said_with_the_command_to_type(
    tools: StandInTools, plan: dict[str, str], message: str, hint: str
) -> None:
    faults = (plan.pop("faults"),) if "faults" in plan else ()
    tools.plan(*faults, **plan)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=message) as caught:
        toolchain.check(RECIPE)
    assert hint in caught.value.hint


def test_a_mac_without_swift_is_refused(
    tools: StandInTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tools.folder / "swift").unlink()
    monkeypatch.setenv("PATH", str(tools.folder))
    with pytest.raises(UsageError, match="no swift on the PATH") as caught:
        toolchain.check(RECIPE)
    assert caught.value.hint == "xcode-select --install"


def test_a_recipe_may_need_a_newer_sdk_than_the_system(tools: StandInTools) -> None:
    newer = replace(RECIPE, sdk="26", swift="6.2")
    tools.plan(version="6.2")
    with pytest.raises(UsageError, match=r"SDK of macOS 26 or newer; the installed one is 15\.5"):
        toolchain.check(newer)
    tools.plan(version="6.2", sdk="26.0")
    assert toolchain.check(newer).version == "6.2"


def test_the_end_of_a_log_has_whole_lines_of_its_step_only(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("fetching\n\nhttps://me:ghp_0123456789@github.com\nlast\n")
    assert toolchain.tail(log, len("fetching\n"), size=1000)[-1] == "last"
    assert toolchain.tail(log, size=30) == ["last"], "half of a secret is not recognized"
    assert toolchain.last_line(tmp_path / "none") == ""
