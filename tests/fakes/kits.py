"""Kits of the self check with constructed measurements."""

from __future__ import annotations

from mac_whisper_speedtest.selfcheck import checks
from mac_whisper_speedtest.selfcheck.kit import Kit, Measurement


def kit_of(*measurements: Measurement, gpu: bool = False, raw: dict[str, str] | None = None) -> Kit:
    """A kit of these measurements."""
    return Kit(
        tool="1.0",
        measured_at="2026-11-30T12:00:00+00:00",
        gpu=gpu,
        interrupted=False,
        measurements=list(measurements),
        raw=raw or {},
    )


def states(*found: Measurement, gpu: bool = False) -> dict[str, str]:
    """Topic → state, of the lines of these measurements."""
    made = {each.check for each in found}
    lacking = {check.name for check in checks.CHECKS} | {checks.BACKEND, checks.LOCK}
    lacking -= made
    lines = checks.judged(kit_of(*found, gpu=gpu)).lines
    return {line.topic: str(line.state) for line in lines if line.topic not in lacking}
