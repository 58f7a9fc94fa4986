"""The conformance kit: good programs pass, and every fault is caught by the check made for it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click.testing
import pytest

from mac_whisper_speedtest.backends.adapter import ModelParams
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.cli.conformance import command
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.worker import conformance
from mac_whisper_speedtest.worker.conformance import CheckStatus, ConformanceFinding
from mac_whisper_speedtest.worker.conformance.bench import Bench

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "tests" / "fakes" / "broken_engine.py"

FAILS = {
    "banner": {"stdout"},
    "wrong ids": {"ids"},
    "one code for all": {
        "unknown-method",
        "malformed-line",
        "wrong-state",
        "missing-model",
        "missing-audio",
        "wrong-length",
        "unload",
    },
    "dies of a bad line": {"malformed-line"},
    "loads on demand": {"wrong-state", "unload"},
    "takes any path": {"missing-model"},
    "refuses to load": {"load"},
    "nan": {"transcribe"},
    "no time": {"transcribe"},
    "nests": {"transcribe"},
    "loops": {"transcribe"},
    "negative": {"transcribe"},
    "overworked": {"clock"},
    "lazy": {"clock"},
    "exaggerates": {"clock"},
    "refuses unknown": {"unknown-params"},
    "any length": {"wrong-length"},
    "keeps the model": {"unload"},
    "unclean exit": {"shutdown"},
    "ignores the end of input": {"eof-idle", "eof-busy"},
    "finishes first": {"eof-busy"},
    "leaves a child": {"leftovers"},
}
DOUBTS = {"varies": {"repeat"}, "hides a setting": {"effective"}}


def _findings(
    fault: str, *, engine: Path = ENGINE, timeout_s: float = 20
) -> list[ConformanceFinding]:
    subject = conformance.ConformanceSubject(
        backend=Backend(name=fault, command=(sys.executable, "-I", "-S", str(engine), fault)),
        model=ModelParams(name="tiny.en", path=str(ENGINE), format="own"),
        samples=conformance.speech_like(1.0),
        timeout_s=timeout_s,
        eof_idle_s=0.5 if fault == "ignores the end of input" else 5,
        children_grace_s=0.3,
        eof_busy_s=0.5 if fault in {"ignores the end of input", "finishes first"} else 10,
    )
    return conformance.run(subject)


def _names(findings: list[ConformanceFinding], outcome: CheckStatus) -> set[str]:
    return {finding.check for finding in findings if finding.outcome is outcome}


def test_an_engine_without_faults_passes_every_check() -> None:
    findings = _findings("none")
    assert [finding for finding in findings if finding.outcome is not CheckStatus.PASSED] == []
    assert [finding.check for finding in findings] == [check.name for check in conformance.CHECKS]


@pytest.mark.parametrize(("fault", "checks"), FAILS.items(), ids=FAILS)
def test_a_fault_fails_exactly_the_checks_made_for_it(fault: str, checks: set[str]) -> None:
    findings = _findings(fault)
    assert _names(findings, CheckStatus.FAILED) == checks
    assert _names(findings, CheckStatus.DOUBTED) == set()


@pytest.mark.parametrize(("fault", "checks"), DOUBTS.items(), ids=DOUBTS)
def test_what_is_allowed_but_doubtful_is_a_warning_and_no_failure(
    fault: str, checks: set[str]
) -> None:
    findings = _findings(fault)
    assert _names(findings, CheckStatus.DOUBTED) == checks
    assert _names(findings, CheckStatus.FAILED) == set()


def test_an_engine_that_never_answers_fails_once_and_skips_the_rest() -> None:
    findings = _findings("hangs", timeout_s=0.5)
    assert _names(findings, CheckStatus.FAILED) == {"hello"}
    assert _names(findings, CheckStatus.PASSED) == set()
    assert "no answer within 0.5 s" in findings[0].seen


def test_a_load_may_have_a_longer_deadline_than_other_answers(tmp_path: Path) -> None:
    subject = conformance.ConformanceSubject(
        backend=Backend(name="slow", command=(sys.executable, "-I", str(ENGINE), "loads slowly")),
        model=ModelParams(name="tiny.en", path=str(ENGINE), format="own"),
        samples=conformance.speech_like(1.0),
        timeout_s=2.0,
        load_s=30.0,
    )
    bench = Bench(subject, tmp_path)
    bench.ready()
    assert bench.loaded
    bench.retire()


@pytest.mark.parametrize(
    "spec",
    [
        {"hello": {"name": "\x1b[2J", "version": "@long:3000000"}},
        {"transcribe": {"text": "\x1b]8;;http://x\x07", "tokens": 10**400}},
        {"do": "reply", "with": {"id": "\u202e@long:3000000"}},
        {"do": "error", "with": {"code": 10**400, "message": "\x1b[2J@long:3000000"}},
        {"do": "notify", "with": {"level": "info", "message": "@nest:980"}},
        {"do": "notify", "with": {"level": "info", "message": "m", "extra": "@nest:1000"}},
        {"do": "flood", "at": "hello", "with": {"kind": "log"}},
        {"do": "flood", "at": "hello", "with": {"kind": "letters"}},
        {"do": "flood", "at": "hello", "with": {"kind": "stderr"}},
        {"do": "raw", "at": "hello", "with": {"hexadecimal": "ff1b5b324a0a"}},
        {"do": "leave", "at": "hello"},
    ],
    ids=lambda spec: str(spec)[:50],
)
def test_a_hostile_program_fails_and_shows_nothing_that_acts(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    attack = tmp_path / "attack.json"
    attack.write_text(json.dumps(spec), encoding="utf-8")
    engine = ROOT / "tests" / "fakes" / "hostile_engine.py"
    findings = _findings(str(attack), engine=engine, timeout_s=1)
    assert _names(findings, CheckStatus.FAILED)
    for finding in findings:
        assert finding.seen.isprintable(), finding.seen
        assert len(finding.seen) < 3000


def test_every_check_says_why_it_matters_and_what_is_asked() -> None:
    for check in conformance.CHECKS:
        assert (check.function.__doc__ or "").strip()
        assert check.asks


@pytest.mark.skipif(shutil.which("cc") is None, reason="the example needs a C compiler")
def test_the_example_in_c_passes_the_command_as_the_guide_compiles_it(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "adding-a-backend.md").read_text(encoding="utf-8")
    (compiling,) = re.findall(r"^cc .*$", page, re.MULTILINE)
    folder = shutil.copytree(ROOT / "bridges" / "example-c", tmp_path / "engine")
    strict = "-std=c11 -Wall -Wextra -Wpedantic -Werror"
    subprocess.run([*compiling.split(), *strict.split()], cwd=folder, check=True, timeout=60)
    toml = str(folder / "engine.toml")
    done = click.testing.CliRunner().invoke(command, ["-b", toml, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["conforms"] is True
    assert {check["outcome"] for check in document["checks"]} == {"pass"}


def test_a_failed_check_is_told_with_what_was_asked_and_ends_with_status_1() -> None:
    words = ["--no-weights", "--", sys.executable, "-I", "-S", str(ENGINE), "no version"]
    done = click.testing.CliRunner().invoke(command, words)
    assert done.exit_code == 1
    assert "FAIL     hello           invalid result: version is empty" in done.stdout
    assert "the protocol asks for: protocol 1, a name and a version" in done.stdout
    assert "skipped  missing-model   the program takes no weights" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-b", "whisper.cpp", "--", "cat"],
        ["--", "./no-such-program"],
        ["--", sys.executable],
        ["--no-weights", "--timeout", "0", "--", sys.executable],
    ],
    ids=["nothing", "both", "no program", "no weights", "no time"],
)
def test_a_wrong_request_is_refused_before_anything_starts(words: list[str]) -> None:
    with pytest.raises(UsageError):
        command.main(words, standalone_mode=False)
