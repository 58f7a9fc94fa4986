"""The conformance kit: whether a program speaks the protocol of docs/reference/protocol.md.

Every check runs against a real process. A failed check does not spoil the others: when the program
has died or may still be busy, the next check starts a new process.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mac_whisper_speedtest.worker.conformance.bench import (
    Bench,
    ConformanceSubject,
    DoubtError,
    FailError,
    SkipError,
    speech_like,
)
from mac_whisper_speedtest.worker.conformance.checks import CHECKS, ConformanceCheck
from mac_whisper_speedtest.worker.conformance.client import NoAnswerError

__all__ = [
    "CHECKS",
    "CheckStatus",
    "ConformanceFinding",
    "ConformanceSubject",
    "run",
    "speech_like",
]


class CheckStatus(StrEnum):
    """How a check ended. Only ``FAILED`` makes the program fail."""

    PASSED = "pass"
    DOUBTED = "warn"
    FAILED = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class ConformanceFinding:
    """The result of one check: ``seen`` is what happened, ``asks`` the protocol's requirement."""

    check: str
    outcome: CheckStatus
    seen: str
    asks: str


def run(
    subject: ConformanceSubject,
    on_finding: Callable[[ConformanceFinding], None] = lambda _finding: None,
) -> list[ConformanceFinding]:
    """Run every check in order; ``on_finding`` gets each result as soon as it is known."""
    findings = []
    folder = Path(tempfile.mkdtemp(prefix="speedtest-conformance-"))
    bench = Bench(subject, folder)
    try:
        for check in CHECKS:
            finding = _carry_out(check, bench)
            on_finding(finding)
            findings.append(finding)
    finally:
        bench.retire()
        shutil.rmtree(folder, ignore_errors=True)
    return findings


def _carry_out(check: ConformanceCheck, bench: Bench) -> ConformanceFinding:
    try:
        outcome, seen = CheckStatus.PASSED, check.function(bench)
    except SkipError as reason:
        outcome, seen = CheckStatus.SKIPPED, str(reason)
    except DoubtError as doubt:
        outcome, seen = CheckStatus.DOUBTED, str(doubt)
    except FailError as failure:
        outcome, seen = CheckStatus.FAILED, str(failure)
    except NoAnswerError as failure:
        # The next answer of this process could be a late answer to this call.
        bench.retire()
        outcome, seen = CheckStatus.FAILED, str(failure)
    if outcome is CheckStatus.FAILED and check.name in {"hello", "load"}:
        bench.unusable.add(check.name)
    return ConformanceFinding(check.name, outcome, seen, check.asks)
