"""``--json-logs``: the committed schema is the generated one, and real lines keep to it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest

from conftest import Finished, Tool, describe_fake, write_tone
from fakes.events import A, ended, sample, watched
from mac_whisper_speedtest.cli import progress
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker.protocol import Stage

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = progress.document()
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def problems(value: Any, schema: dict[str, Any], where: str = "$") -> Iterator[str]:
    """What of ``value`` is against ``schema``: as much of JSON Schema as this one uses."""
    known = {"$ref", "oneOf", "anyOf", "const", "enum", "type", "properties", "required", "items"}
    known |= {"additionalProperties", "prefixItems", "minItems", "maxItems", "minimum", "default"}
    known |= {"description", "title", "$schema", "$id", "$defs"}
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        yield from problems(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], where)
        return
    for key in ("oneOf", "anyOf"):
        if key in schema:
            fitting = sum(not list(problems(value, each, where)) for each in schema[key])
            if not fitting or (key == "oneOf" and fitting > 1):
                yield f"{where} fits {fitting} of {len(schema[key])} kinds: {value!r}"
    if "const" in schema and value != schema["const"]:
        yield f"{where} is {value!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} is {value!r}"
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        truth = isinstance(value, bool) and "boolean" not in kinds
        if truth or not any(isinstance(value, TYPES[kind]) for kind in kinds):
            yield f"{where} is {value!r}, not {kinds}"
            return
    if isinstance(value, dict):
        yield from (
            f"{where} has no {name}" for name in schema.get("required", []) if name not in value
        )
        for name, each in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from problems(each, inner, f"{where}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for each in value:
            yield from problems(each, schema["items"], f"{where}[]")


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in text.splitlines()]


def line_of(event: s.Event) -> dict[str, Any]:
    stream = io.StringIO()
    progress.JsonLines(stream).event(event)
    (line,) = lines_of(stream.getvalue())
    assert list(problems(line, SCHEMA)) == []
    return line


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A real run of a steady fake, one that fails, and one that is not what was asked for."""
    folder = tmp_path_factory.mktemp("fakes")
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    backends = [
        *["-b", describe_fake(folder, "Steady", adapter="pitfalls:Steady")],
        *["-b", describe_fake(folder, "FallsBack", adapter="pitfalls:FallsBack")],
        *["-b", describe_fake(folder, "leaks", fault="leak_secrets")],
    ]
    done = tool(
        *["run", "-m", "tiny.en", "--audio", write_tone(folder / "tone.wav"), *backends],
        *["--rounds", 2, "--passes", 2, "--device", "gpu", "--json-logs"],
        timeout=280,
    )
    assert done.returncode == 3, done.stderr
    assert tool.leftovers() == []
    return done


def test_every_event_of_the_journal_and_of_the_log_alone_has_an_entry() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(s.Event)}
    described = {each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]}
    found = {SCHEMA["$defs"][name]["properties"]["event"]["enum"][0] for name in described}
    assert found == tags | {"announce", "visit", "slow", "log"}


def test_every_line_of_a_real_run_keeps_to_the_schema(one_run: Finished) -> None:
    lines = lines_of(one_run.stderr)
    assert {each["event"] for each in lines} >= {
        *["visit", "worker_started", "loaded", "effective", "sample", "metered", "worker_ended"],
        *["round_watched", "log", "run_ended"],
    }
    for line in lines:
        assert list(problems(line, SCHEMA)) == []


def test_times_never_go_back(one_run: Finished) -> None:
    for before, after in pairwise(lines_of(one_run.stderr)):
        assert before["time_s"] <= after["time_s"]


def test_nothing_is_written_while_a_sample_is_taken(one_run: Finished) -> None:
    """The line before a sample's was out before that sample began (but for its settings' line)."""
    lines = [each for each in lines_of(one_run.stderr) if each["event"] != "effective"]
    seen = 0
    for before, line in pairwise(lines):
        if line["event"] == "sample":
            seen += 1
            # Times are rounded to milliseconds.
            assert before["time_s"] <= line["time_s"] - line["wall_s"] + 0.001, (before, line)
    assert seen >= 12


def test_levels_say_what_deserves_a_look(one_run: Finished) -> None:
    lines = lines_of(one_run.stderr)
    failed = [each for each in lines if each["event"] == "worker_ended" and each["status"] != "ok"]
    assert failed
    assert {each["level"] for each in failed} == {"error"}
    fell_back = [each for each in lines if each["event"] == "loaded" and each["warnings"]]
    assert {each["level"] for each in fell_back} == {"warning"}
    assert {each["level"] for each in lines if each["event"] == "effective"} == {"debug"}
    assert {each["level"] for each in lines if each["event"] == "log"} == {"warning"}


def test_no_line_of_a_real_run_names_the_user(one_run: Finished) -> None:
    assert "RuntimeError" in one_run.stderr
    assert str(Path.home()) + "/" not in one_run.stderr
    assert "hf_AAAA" not in one_run.stderr


def test_messages_from_anywhere_are_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "planted-in-the-environment")
    stream = io.StringIO()
    log = progress.JsonLines(stream)
    log.notify("fetching with planted-in-the-environment")
    log.log("fatal", f"from {Path.home()}/x")
    log.visit(0, 3, "cell")
    log.slow(Stage.LOAD, 10.0, 30.0)
    log.event(ended(A, message="planted-in-the-environment"))
    lines = lines_of(stream.getvalue())
    assert "planted" not in stream.getvalue()
    assert str(Path.home()) + "/" not in stream.getvalue()
    assert [each["level"] for each in lines] == ["info", "info", "info", "warning", "info"]
    assert lines[3]["cell"] == "cell"
    for line in lines:
        assert list(problems(line, SCHEMA)) == []


def test_the_stopping_rules_level_does_not_hide_the_lines_own() -> None:
    decided = s.Decided(after=6, until=8, look=0, level=0.95, cells=[A], reason="too wide")
    line = line_of(decided)
    assert (line["level"], line["interval_level"]) == ("info", 0.95)


def test_a_number_that_is_none_is_null_and_not_nan() -> None:
    line = line_of(watched(cooled_s=float("nan")))
    assert line["cooled_s"] is None


def test_disturbed_samples_and_rounds_are_warnings() -> None:
    assert line_of(sample(A, 0, 1.0, disturbed="others"))["level"] == "warning"
    assert line_of(sample(A, 0, 1.0, failed="E: no"))["level"] == "warning"
    assert line_of(watched(flagged="hot"))["level"] == "warning"
    assert line_of(s.RunEnded(state="interrupted"))["level"] == "warning"
    assert line_of(sample(A, 0, 1.0))["level"] == "info"


def test_a_line_that_is_against_the_schema_is_found() -> None:
    """The validator of these tests can fail."""
    line = line_of(s.RunEnded(state="complete"))
    assert list(problems(line | {"level": "loud"}, SCHEMA))
    assert list(problems({**line, "time_s": "noon"}, SCHEMA))
    del line["state"]
    assert list(problems(line, SCHEMA))
