"""``fleet join`` as a service of this user's: a launchd agent on macOS, a systemd unit on Linux.

It is written here, and only the user loads it. It is started again whenever it ends, and it has no
limits of CPU, memory or input and output, because what it starts is measured.
"""

from __future__ import annotations

import os
import plistlib
import sys
from pathlib import Path
from typing import NamedTuple

from mac_whisper_speedtest import files
from mac_whisper_speedtest.fleet.settings import FleetSettings

_LABEL = "mac-whisper-speedtest.fleet"
_AGAIN_AFTER_S = 30
"""The node itself waits for a scheduler that is away; this is for what makes it end."""
_STOP_S = 60
_LARGEST_LOG_BYTES = 256 << 10
_VARIABLES = ("PATH", "SPEEDTEST_DATA_DIR", "SPEEDTEST_CACHE_DIR", "SPEEDTEST_MACHINE_LOCK")
"""A service has an environment of its own. Tokens and keys are not copied into a file."""


class Unit(NamedTuple):
    """A service that was written.

    Attributes:
        path: of its file.
        commands: what starts it, line by line.
    """

    path: Path
    commands: tuple[str, ...]


def install(settings: FleetSettings) -> Unit:
    """Write the service that joins the fleet of these settings; one that is there is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    command = [sys.executable, "-m", "mac_whisper_speedtest", "fleet", "join"]
    variables = {name: os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    if sys.platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{_LABEL}.plist"
        files.write_bytes(path, launchd(command, variables, settings.folder / "join.log"))
        return Unit(path, (f"launchctl bootstrap gui/{os.getuid()} '{path}'",))
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    path = Path(base) / "systemd" / "user" / "speedtest-fleet.service"
    files.write_bytes(path, systemd(command, variables).encode())
    return Unit(
        path,
        (
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {path.name}",
            "loginctl enable-linger  # also while you are logged out",
        ),
    )


def launchd(command: list[str], variables: dict[str, str], log: Path) -> bytes:
    """The property list of a user's agent: see launchd.plist(5)."""
    return plistlib.dumps(
        {
            "Label": _LABEL,
            "ProgramArguments": command,
            "EnvironmentVariables": variables,
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": _AGAIN_AFTER_S,
            "ExitTimeOut": _STOP_S,
            # Every other type is throttled, and so would be what is measured.
            "ProcessType": "Interactive",
            "LowPriorityIO": False,
            "LowPriorityBackgroundIO": False,
            "Nice": 0,
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )


def bound_log() -> None:
    """Empty the log that launchd writes for this process, if it has become large."""
    if os.environ.get("XPC_SERVICE_NAME") == _LABEL:
        status = os.fstat(sys.stderr.fileno())
        if status.st_size > _LARGEST_LOG_BYTES:
            os.ftruncate(sys.stderr.fileno(), 0)


def systemd(command: list[str], variables: dict[str, str]) -> str:
    """The unit of a user's service: see systemd.service(5), systemd.exec(5) and systemd.kill(5).

    Stopping it reaches an agent that is frozen, too: systemd sends SIGCONT after SIGTERM.
    """
    environment = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in variables.items()
    )
    # "$" begins a variable in arguments only.
    arguments = (_quoted(each).replace("$", "$$") for each in command[1:])
    start = " ".join([_quoted(command[0]), *arguments])
    return (
        "[Unit]\n"
        "Description=Node of a fleet of mac-whisper-speedtest\n"
        "StartLimitIntervalSec=0\n"
        "\n[Service]\n"
        f"ExecStart={start}\n"
        f"{environment}"
        "Restart=always\n"
        f"RestartSec={_AGAIN_AFTER_S}\n"
        "KillMode=control-group\n"
        f"TimeoutStopSec={_STOP_S}\n"
        # A backend that is killed for want of memory is a result, and the node goes on.
        "OOMPolicy=continue\n"
        "\n[Install]\n"
        "WantedBy=default.target\n"
    )


def _quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"'
