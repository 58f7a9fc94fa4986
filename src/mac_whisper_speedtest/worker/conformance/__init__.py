"""The conformance kit: does a program speak the protocol of docs/protocol.md?

Every check runs against real processes. A check that fails leaves the others meaningful: whenever
the program has died or lost its place, the next check starts a new one.
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
    DoubtError,
    FailError,
    SkipError,
    Subject,
    speech_like,
)
from mac_whisper_speedtest.worker.conformance.checks import CHECKS, Check
from mac_whisper_speedtest.worker.conformance.client import NoAnswerError

__all__ = ["CHECKS", "Finding", "Outcome", "Subject", "run", "speech_like"]


class Outcome(StrEnum):
    """How a check ended. Only ``FAILED`` makes the program fail."""

    PASSED = "pass"
    DOUBTED = "warn"
    FAILED = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: ``seen`` is what happened, ``asks`` what the protocol asks for."""

    check: str
    outcome: Outcome
    seen: str
    asks: str


def run(subject: Subject, tell: Callable[[Finding], None] = lambda _finding: None) -> list[Finding]:
    """Run every check in order, telling each finding as it comes."""
    findings = []
    folder = Path(tempfile.mkdtemp(prefix="speedtest-conformance-"))
    bench = Bench(subject, folder)
    try:
        for check in CHECKS:
            finding = _judge(check, bench)
            tell(finding)
            findings.append(finding)
    finally:
        bench.retire()
        shutil.rmtree(folder, ignore_errors=True)
    return findings


def _judge(check: Check, bench: Bench) -> Finding:
    try:
        outcome, seen = Outcome.PASSED, check.function(bench)
    except SkipError as reason:
        outcome, seen = Outcome.SKIPPED, str(reason)
    except DoubtError as doubt:
        outcome, seen = Outcome.DOUBTED, str(doubt)
    except FailError as failure:
        outcome, seen = Outcome.FAILED, str(failure)
    except NoAnswerError as failure:
        # Whatever it is doing now, its next answer could not be told from a late one.
        bench.retire()
        outcome, seen = Outcome.FAILED, str(failure)
    if outcome is Outcome.FAILED and check.name in {"hello", "load"}:
        bench.unusable.add(check.name)
    return Finding(check.name, outcome, seen, check.asks)
