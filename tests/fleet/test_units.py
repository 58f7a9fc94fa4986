"""The services that ``fleet join --install`` writes, checked by the systems' own readers."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Call
from fleet.conftest import new_fleet
from mac_whisper_speedtest.fleet import settings as fleet_settings
from mac_whisper_speedtest.fleet import units
from mac_whisper_speedtest.fleet.settings import FleetSettings

PYTHON = '/Users/jane doe/100% $HOME/my\\venv "x"/bin/python'
JOIN = ["-m", "mac_whisper_speedtest", "fleet", "join"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FleetSettings:
    """Of a user with a home of their own, with a space in its path."""
    home = tmp_path / "jane doe"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a1B2" * 9)
    return new_fleet(home / "data" / "fleet")


def test_launchd_keeps_it_running_and_does_not_throttle_it(
    settings: FleetSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    unit = units.install(settings)

    assert unit.path == Path.home() / "Library/LaunchAgents/mac-whisper-speedtest.fleet.plist"
    found = plistlib.loads(unit.path.read_bytes())
    assert found["ProgramArguments"] == [sys.executable, *JOIN]
    assert found["KeepAlive"] is found["RunAtLoad"] is True
    # launchd.plist(5): every other type has its CPU or its input and output limited.
    assert found["ProcessType"] == "Interactive"
    assert found["LowPriorityIO"] is found["LowPriorityBackgroundIO"] is False
    assert found["StandardErrorPath"] == str(settings.folder / "join.log")
    assert unit.commands == (f"launchctl bootstrap gui/{os.getuid()} '{unit.path}'",)


def test_systemd_keeps_it_running_and_limits_nothing(
    settings: FleetSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")

    unit = units.install(settings)

    text = unit.path.read_text(encoding="utf-8")
    assert unit.path == Path.home() / ".config/systemd/user/speedtest-fleet.service"
    assert re.search(r"^Restart=always$", text, re.MULTILINE)
    assert re.search(r"^OOMPolicy=continue$", text, re.MULTILINE)
    assert not re.search(r"^(CPU|Memory|IO|Nice|Tasks)\w*=", text, re.MULTILINE)
    assert unit.commands[1] == "systemctl --user enable --now speedtest-fleet.service"


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_only_what_finds_the_fleet_is_copied_from_the_environment(
    settings: FleetSettings, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    text = units.install(settings).path.read_text(encoding="utf-8")

    assert os.environ["SPEEDTEST_DATA_DIR"] in text
    assert os.environ["HF_TOKEN"] not in text


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_the_command_writes_it_and_starts_nothing(
    settings: FleetSettings, monkeypatch: pytest.MonkeyPatch, speedtest: Call, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)

    answer = speedtest("fleet", "join", "10.0.0.7", "--install")

    assert answer.code == 0, answer.err
    assert "Start it with:" in answer.out
    starts = "launchctl bootstrap" if platform == "darwin" else "systemctl --user enable --now"
    assert starts in answer.out
    assert fleet_settings.load(settings.folder).scheduler == "tls://10.0.0.7:8786"


def test_any_path_survives_in_a_property_list(tmp_path: Path) -> None:
    found = plistlib.loads(units.launchd([PYTHON, *JOIN], {"A": "<b & c>"}, tmp_path))

    assert found["ProgramArguments"] == [PYTHON, *JOIN]
    assert found["EnvironmentVariables"] == {"A": "<b & c>"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("odd", [False, True])
def test_systemd_reads_the_unit_without_a_complaint(tmp_path: Path, odd: bool) -> None:
    program = tmp_path / ("100% $HOME my venv" if odd else "venv") / "python"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    unit = tmp_path / "speedtest-fleet.service"
    unit.write_text(units.systemd([str(program), *JOIN], {"A": f"b 'c' {program}"}), "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"},
    )

    about = [line for line in done.stderr.splitlines() if unit.name in line or "python" in line]
    assert about == [], done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_would_complain_of_a_program_that_is_not_there(tmp_path: Path) -> None:
    unit = tmp_path / "speedtest-fleet.service"
    unit.write_text(units.systemd(["/nowhere/python", *JOIN], {}), "utf-8")

    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )

    assert "/nowhere/python" in done.stderr


def test_launchds_log_is_emptied_when_it_is_large(tmp_path: Path) -> None:
    code = "from mac_whisper_speedtest.fleet import units; units.bound_log()"
    log = tmp_path / "join.log"
    for label, left in (("another", 300_000), ("mac-whisper-speedtest.fleet", 0)):
        log.write_bytes(b"x" * 300_000)
        with log.open("ab") as stream:
            subprocess.run(
                [sys.executable, "-c", code],
                stderr=stream,
                check=True,
                env={**os.environ, "XPC_SERVICE_NAME": label},
            )
        assert log.stat().st_size == left
