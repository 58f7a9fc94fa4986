"""The written protocol: the committed schema is the generated one, and the examples are true."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.backends.adapter import LoadParams
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker import schema
from mac_whisper_speedtest.worker.messages import parse

DOCS = Path(__file__).parents[2] / "docs"
PARAMS = {"hello": m.HelloParams, "load": LoadParams, "transcribe": m.TranscribeParams}
RESULTS = {"hello": m.HelloResult, "load": m.LoadReply, "transcribe": m.TranscribeResult}
TYPES = [kind for kind in vars(m).values() if isinstance(kind, type) and is_dataclass(kind)]


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def _session() -> list[tuple[str, str]]:
    text = (DOCS / "explanation" / "protocol.md").read_text(encoding="utf-8")
    return re.findall(r"^([→←]) (\{.*\})$", text, re.MULTILINE)


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    document = schema.document()
    for ref in _refs(document):
        assert ref.removeprefix("#/$defs/") in document["$defs"]


def test_every_message_type_has_an_entry_with_every_field_and_a_description() -> None:
    entries = schema.document()["$defs"]
    for kind in TYPES:
        assert list(entries[kind.__name__]["properties"]) == [each.name for each in fields(kind)]
        assert entries[kind.__name__]["description"]
    spoken = entries["TranscribeResult"]["properties"]
    assert spoken["text"]["description"] == "the whole transcript, unchanged."
    assert all("description" in each for each in spoken.values())


def test_every_method_has_a_call_and_an_answer() -> None:
    entries = schema.document()["$defs"]
    for method in m.Method:
        assert entries[f"{method.capitalize()}Call"]["properties"]["method"]["const"] == method
        assert "result" in entries[f"{method.capitalize()}Answer"]["required"]


def test_the_session_in_the_documentation_is_made_of_valid_messages() -> None:
    asked: dict[int, str] = {}
    for side, line in _session():
        message = json.loads(line)
        if side == "→":
            asked[message["id"]] = message["method"]
            params: Any = msgspec.convert(message["params"], PARAMS.get(message["method"], dict))
            assert msgspec.to_builtins(params) == message["params"]
            continue
        parse(line.encode())
        if "result" in message:
            msgspec.convert(message["result"], RESULTS.get(asked[message["id"]], dict))
    assert set(asked.values()) == set(m.Method)


def test_every_field_of_an_answer_has_its_place_in_the_journal() -> None:
    settings = {"effective": "values", "observed": "observed", "remarks": "remarks"}
    for each in fields(m.TranscribeResult):
        if each.name in settings:
            assert settings[each.name] in s.Effective.__struct_fields__
        else:
            assert each.name in s.Sample.__struct_fields__
