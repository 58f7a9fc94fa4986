"""Runs that nobody measured: made from a manifest and a journal, with all that an export shows."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.summary.summarize import summarize

AUDIO_S = 10.0
SAID = {"u1": "she sells sea shells", "u2": "by the sea shore"}
"""What is said in the recordings of a set."""


@dataclass(frozen=True)
class Fake:
    """A backend of a made run.

    Attributes:
        seconds: what it takes for a recording of 10 s.
        said: its text of each recording; the right one where nothing is said.
        fails: the message of its failure; empty: it does not fail.
        changes: other fields of its samples.
    """

    seconds: float = 1.0
    said: Mapping[str, str] = field(default_factory=dict)
    fails: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """A run before it is assembled."""

    manifest: s.Manifest
    events: list[s.Event]

    @property
    def run(self) -> s.Run:
        """The run with its figures."""
        return summarize(assemble(self.manifest, self.events))

    def write(self, folder: Path) -> Path:
        """Write the run as a directory, and return where it lies."""
        there = RunDirectory(folder)
        folder.mkdir(parents=True)
        there.write_manifest(self.manifest)
        with Journal(there.journal_path) as journal:
            for event in self.events:
                journal.append(event)
        return folder


def made(
    backends: Mapping[str, Fake],
    *,
    number: int = 1,
    rounds: int = 6,
    runs: int = 2,
    clip: str = "speech",
    machine: Mapping[str, Any] | None = None,
    tags: list[str] | None = None,
) -> Made:
    """A run of ``backends`` on a set of two recordings, with noise of 1 % from a fixed seed."""
    cells = [f"{name}/tiny.en/{clip}" for name in backends]
    manifest = _manifest(list(backends), cells, rounds, runs, clip)
    manifest = msgspec.structs.replace(
        manifest,
        run=number,
        run_id=f"{number:032x}",
        tags=tags or [],
        machine=msgspec.structs.replace(manifest.machine, **(machine or {})),
    )
    noise = random.Random(number)
    events: list[s.Event] = []
    for cell, fake in zip(cells, backends.values(), strict=True):
        for each in range(rounds):
            events += _round(cell, each, fake, runs, noise)
    events.append(s.RunEnded(state="complete"))
    return Made(manifest, events)


def _round(cell: str, number: int, fake: Fake, runs: int, noise: random.Random) -> list[s.Event]:
    at = {"cell": cell, "round": number, "attempt": 0}
    if fake.fails:
        failed = {"status": "failed", "stage": "load", "error_class": "ValueError"}
        return [_event({**at, **_ENDING, **failed, "message": fake.fails}, s.WorkerEnded)]
    found: list[s.Event] = [_event({**at, **_LOADED}, s.Loaded)]
    found.append(_event({**at, "values": _SETTINGS, "observed": [], "remarks": []}, s.Effective))
    for index in range(-1, runs):
        for utterance, right in SAID.items():
            seconds = fake.seconds * noise.uniform(0.99, 1.01)
            sample = {
                "index": index,
                "kind": "warmup" if index < 0 else "timed",
                "seconds": seconds,
                "wall_s": seconds + 0.001,
                "text": fake.said.get(utterance, right),
                "segments": [],
                "language": "en",
                "tokens": 7,
                "cpu_s": None,
                "peak_rss_bytes": 300_000_000,
                "utterance": utterance,
                **fake.changes,
            }
            found.append(_event({**at, **sample}, s.Sample))
            if index < 0:
                break  # the warm-up is one call
    return [*found, _event({**at, **_ENDING, "status": "ok"}, s.WorkerEnded)]


def _event(fields: Mapping[str, Any], kind: type[Any]) -> Any:
    return msgspec.convert({**fields, "event": kind.__struct_config__.tag}, kind)


_SETTINGS = DecodeContract().settings()
_ENDING = {"stage": "", "error_class": "", "message": "", "log_tail": "", "exit_code": 0}
_LOADED = {
    "spawn_s": 0.1,
    "import_s": 0.2,
    "hello_wall_s": 0.3,
    "load_s": 0.4,
    "load_wall_s": 0.4,
    "version": "1.10",
    "versions": {},
    "device": "cpu",
    "precision": "float32",
    "details": {},
}


def _manifest(
    backends: list[str], cells: list[str], rounds: int, runs: int, clip: str
) -> s.Manifest:
    one = {"seconds": AUDIO_S, "samples": 160_000, "language": "en"}
    utterances = [
        {"name": name, "reference": text, "pcm_sha256": f"{place:064x}", **one}
        for place, (name, text) in enumerate(SAID.items())
    ]
    whole = {"seconds": AUDIO_S * len(SAID), "samples": 320_000, "language": "en"}
    document = {
        "schema_version": s.SCHEMA_VERSION,
        "run": 1,
        "started_at": "2026-11-20T10:00:00+00:00",
        "tool": {"name": "mac-whisper-speedtest", "version": "0.1.0", "git_sha": None},
        "machine": {
            "os": "Linux",
            "os_version": "6.1",
            "architecture": "x86_64",
            "python": "3.11.7",
            "cpu": "A Processor, at 3 GHz",
            "physical_cores": 8,
            "logical_cores": 16,
            "memory_bytes": 16 << 30,
            "gpus": ["One GPU", "Another GPU"],
            "load_average_1m": 0.1,
        },
        "request": {
            "models": ["tiny.en"],
            "backends": backends,
            "clips": [clip],
            "contract": {"name": "greedy", **_SETTINGS},
            "rounds": rounds,
            "passes": runs,
            "seed": 1,
            "threads": 4,
            "device": "auto",
            "precision": "auto",
            "max_time_s": 60.0,
            "timeout_s": None,
            "retries": 0,
            "fail_fast": False,
            "max_failures": None,
            "max_memory_bytes": None,
            "backends_named": True,
        },
        "request_sha256": "0" * 64,
        "libraries": {},
        "clips": [
            {
                "name": clip,
                "pcm_sha256": "f" * 64,
                "source": "a manifest of the user's",
                "kind": "set",
                "utterances": utterances,
                **whole,
            }
        ],
        "cells": [
            {"id": cell, "backend": name, "model": "tiny.en", "clip": clip, "weights": _WEIGHTS}
            for cell, name in zip(cells, backends, strict=True)
        ],
        "schedule": [cells] * rounds,
    }
    return msgspec.convert(document, s.Manifest)


_WEIGHTS = {
    "model": "tiny.en",
    "form": "ggml",
    "precision": "float16",
    "files": {"ggml-tiny.en.bin": "a" * 64},
    "size_bytes": 77_000_000,
    "source": "somebody/whisper@0123456",
    "network_sha256": "b" * 64,
}
