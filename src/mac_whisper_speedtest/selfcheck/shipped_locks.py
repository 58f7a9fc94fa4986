"""Every lock that ships with the tool: would it install here? Nothing is installed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mac_whisper_speedtest.backends.recipe import Recipe, unsuited
from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown
from mac_whisper_speedtest.environments import lock_targets, locks, uv
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.selfcheck.bench import (
    SEND,
    Workbench,
    measurement,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement

_NOT_REACHED = ("error sending request", "dns", "connection", "connect", "timed out", "network")
"""Messages of uv when no index answers."""


def measure(bench: Workbench) -> list[Measurement]:
    """Have uv plan the installation of each lock, with the hashes; it fetches metadata only."""
    return [
        _planned(bench, recipe, name, text)
        for recipe, name, text in lock_targets.shipped_locks()
        if not unsuited(recipe)
    ]


def not_asked(bench: Workbench) -> Measurement:  # noqa: ARG001 - nothing is looked at
    """The placeholder for all locks without ``--locks``."""
    return not_measured("lock", "needs the network: add --locks")


def _planned(bench: Workbench, recipe: Recipe, subject: str, text: str) -> Measurement:
    with tempfile.TemporaryDirectory(dir=bench.folder) as work:
        folder, requirements = Path(work, "env"), Path(work, "requirements.txt")
        packages = [each for each in locks.packages(text) if not locks.is_built(recipe, each)]
        requirements.write_text("".join(each.text for each in packages), encoding="utf-8")
        try:
            python = uv.choose_python(recipe)
            uv.call("venv", "--python", python.path, folder)
            uv.call(
                *("pip", "install", "--dry-run", "--no-deps", "--require-hashes"),
                *("--python", folder / "bin" / "python"),
                *("--requirement", requirements),
                environment=uv.for_installing(),
            )
        except UsageError as error:  # no Python here fits
            return not_measured("lock", error.message, subject=subject)
        except SpeedtestError as error:
            return measurement("lock", {"refused": error.message}, subject=subject)
    applies = len(locks.applicable(text, python.version))
    return measurement("lock", {"packages": applies, "python": python.version}, subject=subject)


def judge(found: Measurement) -> list[CheckupLine]:
    """All of its packages have a wheel with the right hash for this machine."""
    topic = f"lock: {found.subject}"
    why = found.texts.get("refused")
    if why is None:
        seen = f"{found.number('packages'):g} packages for Python {found.text('python')}"
        return [ok(topic, seen)]
    if any(word in why.lower() for word in _NOT_REACHED):
        return [unknown(topic, why, "check the connection to your package index")]
    return [fail(topic, why, SEND)]
