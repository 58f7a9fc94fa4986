"""Failures: none is hidden, and those that are alike stand together."""

from __future__ import annotations

import pytest

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.report.html import evidence
from mac_whisper_speedtest.report.html.page import Limits
from parsed_html import parse


def test_a_backend_that_always_fails_alike_has_one_row_and_one_log() -> None:
    run = run_of(FakeCell("a", ending="crashed", message="no", log="the end"), rounds=5).run
    found = parse(evidence.failures_section(run, Limits()))
    (row,) = found.one("tbody").all("tr")
    assert row.text.startswith("arounds 1–5crashed")
    assert found.one("summary").text == "Log of a, rounds 1–5"
    assert found.one("caption").text == "5 endings not as planned"


def test_what_is_more_than_the_limit_is_counted() -> None:
    told = [FakeCell(f"b{number}", ending="crashed", message=f"no {number}") for number in range(9)]
    found = parse(evidence.failures_section(run_of(*told, rounds=1).run, Limits(entries=4)))
    assert len(found.one("tbody").all("tr")) == 4
    assert "5 more are in the run's own files." in found.text


@pytest.mark.parametrize("secret", ["hf_abcdefgh12345678", "/home/someone/secret"])
def test_secrets_that_an_old_run_still_holds_are_not_shown(secret: str) -> None:
    run = run_of(FakeCell("a", ending="crashed", message=f"m {secret}", log=f"l {secret}")).run
    assert "someone" not in evidence.failures_section(run, Limits())
    assert "hf_" not in evidence.failures_section(run, Limits())
