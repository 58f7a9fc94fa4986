"""``speedtest trace`` on runs written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Call
from fakes.events import one_round
from fakes.runs import timed
from mac_whisper_speedtest.results.journal import TimedEvent


def test_a_run_becomes_a_file_that_perfetto_opens(tmp_path: Path, speedtest: Call) -> None:
    run = timed(one_round()).write(tmp_path / "run")
    code, out, err = speedtest("trace", run, "-o", tmp_path / "deep" / "t.json")
    assert (code, err) == (0, "")
    assert "ui.perfetto.dev" in out
    document = json.loads((tmp_path / "deep" / "t.json").read_bytes())
    names = [each["name"] for each in document["traceEvents"] if each["ph"] == "X"]
    assert names[:3] == ["run 42", "round 1", "round 1"]
    assert "sample 2 (u1)" in names


def test_without_a_name_the_file_lies_here_and_is_called_after_the_run(
    tmp_path: Path, speedtest: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = timed(one_round()).write(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert speedtest("trace", run)[0] == 0
    first = (tmp_path / "run-42.trace.json").read_bytes()
    code, _, err = speedtest("trace", run)
    assert code == 2
    assert "run-42.trace.json is there already" in err
    assert (tmp_path / "run-42.trace.json").read_bytes() == first


def test_a_run_without_times_is_drawn_and_it_is_said(tmp_path: Path, speedtest: Call) -> None:
    untimed = [TimedEvent(None, each.event) for each in one_round()]
    run = timed(untimed).write(tmp_path / "run")
    code, _, err = speedtest("trace", run, "-o", tmp_path / "t.json")
    assert code == 0
    assert "the times of this run are unknown" in err


def test_an_address_that_is_none_is_refused_before_anything_is_read(speedtest: Call) -> None:
    code, _, err = speedtest("trace", "no such run", "--otlp", "localhost:4318")
    assert code == 2
    assert "--otlp is 'localhost:4318'" in err
    assert "hint: give an address such as http://localhost:4318" in err


def test_a_run_that_is_not_there_is_an_error(speedtest: Call) -> None:
    code, _, err = speedtest("trace", "/nowhere/run")
    assert code == 2
    assert "is not a run" in err


def test_where_it_cannot_be_written_is_an_error_of_storage(tmp_path: Path, speedtest: Call) -> None:
    run = timed(one_round()).write(tmp_path / "run")
    (tmp_path / "file").write_text("")
    code, _, err = speedtest("trace", run, "-o", tmp_path / "file" / "t.json")
    assert code == 5
    assert "cannot write" in err
