"""Progress of a run, for a person or as ``--json-logs`` for a program.

A line is written before each stage and nothing during one: no thread draws anything, so nothing
competes with what is being timed.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO, get_args

import msgspec

from mac_whisper_speedtest.audio.microphone import meter
from mac_whisper_speedtest.cli.output import RewrittenLine
from mac_whisper_speedtest.cli.running_figures import RunningFigures, duration_by_history
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.printable import printable
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.schema.base import kept

# ``--json-logs``: progress as JSON lines, in one schema for all commands.


SCHEMA_VERSION = 1
LEVELS = ("debug", "info", "warning", "error")
LEFT_OUT = ("segments", "log_tail", "values", "readings")
"""Fields of the journal's lines that are too long for a log."""
RENAMED = {"level": "interval_level"}
"""The stopping rule's level of confidence, beside the line's own."""


class Announce(s.Struct, frozen=True, kw_only=True, tag="announce", tag_field="event"):
    """A long step is about to begin, or the user must know something."""

    message: str = kept("in words")


class Visit(s.Struct, frozen=True, kw_only=True, tag="visit", tag_field="event"):
    """A cell is about to be visited."""

    round: int = kept("the round")
    rounds: int = kept("how many are planned by now, retaken ones left out")
    cell: str = kept("the cell's id")


class Slow(s.Struct, frozen=True, kw_only=True, tag="slow", tag_field="event"):
    """A third of a stage's deadline has passed."""

    cell: str = kept("the cell's id")
    stage: str = kept("the stage of its worker")
    waited_s: float = kept("how long it has taken")
    limit_s: float = kept("its deadline")


class Log(s.Struct, frozen=True, kw_only=True, tag="log", tag_field="event"):
    """A worker's log line, or its device or precision that differs from the request."""

    message: str = kept("in words")


OWN = (Announce, Visit, Slow, Log)


class JsonLines(Observer):
    """Writes one JSON object per line: the envelope, then the event's fields."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._cell = ""

    def notify(self, text: str) -> None:
        """An ``announce`` line."""
        self._write("info", Announce(message=text))

    def visit(self, number: int, rounds: int, cell: str) -> None:
        """A ``visit`` line."""
        self._cell = cell
        self._write("info", Visit(round=number, rounds=rounds, cell=cell))

    def event(self, event: s.Event) -> None:
        """The journal's line, without long fields."""
        self._write(level_of(event), event)

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        """A ``slow`` line, of the cell last visited."""
        slow = Slow(cell=self._cell, stage=str(stage), waited_s=waited_s, limit_s=limit_s)
        self._write("warning", slow)

    def log(self, level: str, message: str) -> None:
        """A ``log`` line."""
        # A worker may be any program, with its own names for levels.
        self._write(level if level in LEVELS else "info", Log(message=message))

    def _write(self, level: str, event: s.Struct) -> None:
        fields = {
            RENAMED.get(name, name): _strict(value)
            for name, value in msgspec.to_builtins(event).items()
            if name not in LEFT_OUT
        }
        envelope = {
            "schema_version": SCHEMA_VERSION,
            "time_s": round(time.monotonic() - self._began, 3),
            "level": level,
        }
        self._stream.write(json.dumps(envelope | fields) + "\n")
        self._stream.flush()


def level_of(event: s.Event) -> str:
    """The level of a line of the journal.

    A worker that did not end ``ok`` is an ``error``; ``effective`` and ``metered`` are ``debug``. A
    ``warning`` is a sample that failed or was disturbed, a load that fell back, a round that was
    flagged or skipped for another reason than its time, and a run that did not complete.
    """
    if isinstance(event, s.WorkerEnded) and event.status != "ok":
        return "error"
    if isinstance(event, s.Effective | s.Metered):
        return "debug"
    return "warning" if _deserves_a_look(event) else "info"


def _deserves_a_look(event: s.Event) -> bool:
    match event:
        case s.Sample():
            return bool(event.failed or event.disturbed)
        case s.Loaded():
            return bool(event.warnings)
        case s.RoundSkipped():
            return event.status != "ok"
        case s.RoundWatched():
            return bool(event.flagged)
        case s.RunEnded():
            return event.state != "complete"
        case _:
            return False


def _strict(value: Any) -> Any:
    """A value as strict JSON, scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {scrub(name): _strict(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return value


def document() -> dict[str, Any]:
    """The schema of a line, JSON Schema 2020-12. Objects are open: fields may be added."""
    kinds = (*OWN, *get_args(s.Event))
    _, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for schema in components.values():
        # Compilers before Python 3.13 keep a docstring's indentation, later ones remove it.
        words = inspect.cleandoc(schema.get("description", "")).replace("``", "`")
        schema["description"] = " ".join(words.split())
    lines = {kind.__name__: _line(components[kind.__name__]) for kind in kinds}
    parts = {name: components[name] for line in lines.values() for name in _refs(line)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:mac-whisper-speedtest:json-logs:{SCHEMA_VERSION}",
        "title": f"A line of --json-logs, version {SCHEMA_VERSION}",
        "description": "`event` names its kind; see docs/reference/json-logs.md.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in lines],
        "$defs": lines | parts,
    }


def _line(component: dict[str, Any]) -> dict[str, Any]:
    """The schema of an event with the envelope around it."""
    properties = {
        RENAMED.get(name, name): schema
        for name, schema in component["properties"].items()
        if name not in LEFT_OUT
    }
    envelope: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "time_s": {"type": "number", "minimum": 0, "description": "Seconds since the start."},
        "level": {"enum": list(LEVELS)},
    }
    # Fields that have a default in the journal are nevertheless in every line.
    properties = envelope | properties
    return component | {"properties": properties, "required": list(properties)}


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def observer(*, quiet: bool, json_logs: bool) -> Observer:
    """The progress that the options ask for; always on stderr."""
    if json_logs:
        return JsonLines(sys.stderr)
    return _Notices() if quiet else _Lines(sys.stderr)


class _Notices(Observer):
    """Only long steps and what the user must know; no progress."""

    def notify(self, text: str) -> None:
        print(f"speedtest: {printable(text)}", file=sys.stderr, flush=True)  # noqa: T201


class _Lines(Observer):
    """The run so far: lines that are rewritten on a terminal; one per finished round elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = RewrittenLine(stream)
        self._where = ""
        self._run: RunningFigures | None = None

    def notify(self, text: str) -> None:
        self._permanent(text)

    def level(self, dbfs: float) -> None:
        self._line.write(meter(dbfs))

    def close(self) -> None:
        self._line.write("")

    def began(self, manifest: s.Manifest, limit_s: float, past: Sequence[s.Event]) -> None:
        self._run = RunningFigures(manifest, limit_s, past)
        self._permanent(self._run.outlook(duration_by_history(manifest)))

    def visit(self, number: int, rounds: int, cell: str) -> None:
        # Rounds that replace disturbed ones are numbered after those that were planned.
        place = f"/{rounds}" if number < rounds else " (retaken)"
        self._where = f"round {number + 1}{place}  {cell}"
        if self._run is not None:
            self._run.visit(cell)

    def status(self, text: str) -> None:
        left = self._run.left() if self._run else ""
        figures = self._run.lines() if self._run else ()
        self._line.write(*figures, f"{self._where}  {text}{f'; {left}' if left else ''}")

    def event(self, event: s.Event) -> None:
        if self._run is not None:
            self._run.add(event)
        if isinstance(event, s.Decided) and event.cells:
            self._permanent(f"after round {event.after}: {event.reason}")
        if isinstance(event, s.WorkerEnded) and (
            event.status != "ok" or not self._line.on_terminal
        ):
            said = event.status + (f": {event.message}" if event.message else "")
            if event.status == "ok" and self._run is not None:
                said = self._run.finished(event.cell) or said
            self._permanent(f"{self._where}  {said}")

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        self._permanent(
            f"{self._where}  slow: {stage} has taken {waited_s:.0f} s; "
            f"it is killed at {limit_s:.0f} s"
        )

    def _permanent(self, text: str) -> None:
        self._line.write("")
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()
