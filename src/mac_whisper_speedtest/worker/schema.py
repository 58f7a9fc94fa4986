"""The protocol as JSON Schema, generated from the types that both sides use."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.backends.adapter import LoadParams, ModelParams, Segment
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.worker import protocol as m

_TYPES = (
    m.HelloParams,
    m.HelloResult,
    ModelParams,
    LoadParams,
    m.LoadReply,
    m.AudioParams,
    DecodeContract,
    m.TranscribeParams,
    Segment,
    m.TranscribeResult,
    m.ProgressParams,
    m.LogParams,
    m.ErrorData,
)
METHODS = {
    m.Method.HELLO: ("HelloParams", "HelloResult"),
    m.Method.LOAD: ("LoadParams", "LoadReply"),
    m.Method.TRANSCRIBE: ("TranscribeParams", "TranscribeResult"),
    m.Method.UNLOAD: ("Empty", "Empty"),
    m.Method.SHUTDOWN: ("Empty", "Empty"),
}
NOTIFICATIONS = {"progress": "ProgressParams", "log": "LogParams"}
_ANSWERED = {"HelloResult", "LoadReply", "Segment", "TranscribeResult", "UsedGpu"}
_NAMES = {"name", "version", "device", "precision", "language", "observed", "effective"}
_ID = {"type": ["integer", "null"], "description": "The call's id; null when it cannot be read."}


def document() -> dict[str, Any]:
    """The whole schema, JSON Schema 2020-12. Every line of the protocol validates against its root.

    Objects may have unknown members: each side ignores what a newer version adds.
    """
    _, components = msgspec.json.schema_components(_TYPES, ref_template="#/$defs/{name}")
    for name, schema in components.items():
        _describe(schema)
        if name in _ANSWERED:
            for field, value in schema["properties"].items():
                _limit(value, field)
    seconds = components["TranscribeResult"]["properties"]["seconds"]
    seconds["exclusiveMinimum"] = seconds.pop("minimum")
    for name in ("start_s", "end_s"):
        components["Segment"]["properties"][name]["minimum"] = limits.FIRST_SEGMENT_S
    components["ProgressParams"]["properties"]["stage"]["examples"] = [str(s) for s in m.Stage]
    _require_all(components["DecodeContract"])
    calls = {f"{method.capitalize()}Call": _call(method) for method in METHODS}
    answers = {f"{method.capitalize()}Answer": _answer(method) for method in METHODS}
    notes = {f"{name.capitalize()}Notification": _notification(name) for name in NOTIFICATIONS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mac-whisper-speedtest:worker-protocol:{m.PROTOCOL_VERSION}",
        "title": f"Worker protocol, version {m.PROTOCOL_VERSION}",
        "description": "One line on a worker's stdin (Call) or stdout (the others). "
        "docs/reference/protocol.md has the rules that it cannot express.",
        "oneOf": [_ref("Call"), _ref("Answer"), _ref("ErrorAnswer"), _ref("Notification")],
        "$defs": {
            "Call": {"description": "From the tool.", "oneOf": [_ref(name) for name in calls]},
            "Answer": {
                "description": "From the worker: the answer that belongs to the call.",
                "anyOf": [_ref(name) for name in answers],
            },
            "ErrorAnswer": _envelope({"id": _ID, "error": _ref("Error")}),
            "Notification": {
                "description": "From the worker, at any time before an answer.",
                "oneOf": [_ref(name) for name in notes],
            },
            **calls,
            **answers,
            **notes,
            "Error": _error(),
            "Empty": {"description": "No members are required.", "type": "object"},
            **components,
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _envelope(properties: dict[str, Any]) -> dict[str, Any]:
    """A JSON-RPC object with these members, and without those of other messages."""
    foreign = [key for key in ("id", "method", "result", "error") if key not in properties]
    return {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            **properties,
            **dict.fromkeys(foreign, False),
        },
        "required": ["jsonrpc", *properties],
    }


def _call(method: m.Method) -> dict[str, Any]:
    params = _ref(METHODS[method][0])
    identity = {"type": "integer", "description": "Counts up; repeat it in the answer."}
    return _envelope({"id": identity, "method": {"const": str(method)}, "params": params})


def _answer(method: m.Method) -> dict[str, Any]:
    result = _ref(METHODS[method][1])
    return _envelope({"id": {"type": "integer"}, "result": result})


def _notification(name: str) -> dict[str, Any]:
    return _envelope({"method": {"const": name}, "params": _ref(NOTIFICATIONS[name])})


def _error() -> dict[str, Any]:
    codes = ", ".join(f"{code:d} {code.name.lower().replace('_', ' ')}" for code in m.ErrorCode)
    return {
        "description": "Why a call was not carried out.",
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": f"{codes}; see docs/reference/protocol.md."},
            "message": {"type": "string", "description": "For people; its first line is kept."},
            "data": {"anyOf": [_ref("ErrorData"), {"type": "null"}]},
        },
        "required": ["code", "message"],
    }


def _limit(schema: dict[str, Any], field: str) -> None:
    """Add the limits of a field of an answer, as `worker/answers.py` checks them.

    Texts without a limit here are cut if they are too long.
    """
    for each in schema.get("anyOf", [schema]):
        match each.get("type"):
            case "number" | "integer":
                each["minimum"], each["maximum"] = limits.number_range(field)
            case "string" if field in _NAMES:
                each["maxLength"] = limits.LONGEST_NAME
            case "string" if field == "text":
                each["maxLength"] = limits.LONGEST_TEXT
            case "array":
                each["maxItems"] = limits.MOST_ITEMS if field == "segments" else limits.MOST_FACTS
                _limit(each["items"], field)
            case "object":
                each["maxProperties"] = limits.MOST_FACTS
                each["propertyNames"] = {"maxLength": limits.LONGEST_NAME}
                _limit(each["additionalProperties"], field)
            case _:
                pass


def _require_all(schema: dict[str, Any]) -> None:
    """Require every property: the tool sends them all, and fills in the defaults."""
    schema["required"] = list(schema["properties"])
    for each in schema["properties"].values():
        each.pop("default", None)


def _describe(schema: dict[str, Any]) -> None:
    """Copy each property's description from the class's ``Attributes:`` section."""
    # Compilers before Python 3.13 keep a docstring's indentation, later ones remove it.
    docstring = inspect.cleandoc(schema.get("description", "")).replace("``", "`")
    text, _, attributes = docstring.partition("Attributes:")
    schema["description"] = " ".join(text.split())
    for name, meaning in re.findall(r"^ +(\w+): (.+(?:\n {8,}.+)*)", attributes, re.MULTILINE):
        if name in schema["properties"]:
            schema["properties"][name]["description"] = " ".join(meaning.split())
