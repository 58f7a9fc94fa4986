"""Runs written by hand, quickly and with a known truth, for those who show runs.

Every run goes through its journal's events, ``assemble`` and ``summarize``, as real ones do.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.summary.summarize import summarize

SPOKEN = "It was the best of times, it was the worst of times, it was the age of wisdom"


@dataclass(frozen=True)
class Told:
    """A cell and its truth.

    Attributes:
        backend: its name.
        rtf: processing seconds per audio second.
        text: what it writes; by recording where there are several, ``None`` where it fails.
        model: the model's name.
        spread: standard deviation of the logarithm of a sample.
        fixed_s: seconds added to every sample.
        ending: how its workers end.
        message: what they say then.
        log: the end of their log.
        effective: settings that are not the contract's.
        remarks: of its adapter.
        joules: energy of a round, where it is metered.
        retaken: rounds in which the first sample was disturbed and retaken.
    """

    backend: str
    rtf: float = 0.1
    text: str | Mapping[str, str | None] | None = SPOKEN
    model: str = "tiny.en"
    spread: float = 0.01
    fixed_s: float = 0.0
    ending: str = "ok"
    message: str = ""
    log: str = ""
    effective: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    joules: float | None = None
    retaken: Sequence[int] = ()


def recording(name: str = "speech", reference: str | None = SPOKEN, **changes: Any) -> s.ClipInfo:
    """One recording of 10 s."""
    return s.ClipInfo(
        **{
            "name": name,
            "seconds": 10.0,
            "samples": 160000,
            "pcm_sha256": "ab" * 32,
            "source": "a file of the user's",
            "language": "en",
            "reference": reference,
            **changes,
        }
    )


def collection(texts: Mapping[str, str | None], **changes: Any) -> s.ClipInfo:
    """A set: name → what is said in it; every recording has 5 s."""
    utterances = [
        s.UtteranceInfo(
            name=name,
            seconds=5.0,
            samples=80000,
            pcm_sha256="cd" * 32,
            language="en",
            reference=text,
        )
        for name, text in texts.items()
    ]
    return s.ClipInfo(
        **{
            "name": "set",
            "seconds": 5.0 * len(texts),
            "samples": 80000 * len(texts),
            "pcm_sha256": "ef" * 32,
            "source": "a manifest of the user's",
            "language": "en",
            "kind": "set",
            "utterances": utterances,
            **changes,
        }
    )


def lengths(*seconds: float) -> s.ClipInfo:
    """One reading cut to several lengths."""
    utterances = [
        s.UtteranceInfo(
            name=f"{each:g}s", seconds=each, samples=int(each * 16000), pcm_sha256="09" * 32
        )
        for each in seconds
    ]
    return s.ClipInfo(
        name="cities cut",
        seconds=sum(seconds),
        samples=int(sum(seconds) * 16000),
        pcm_sha256="10" * 32,
        source="cut from moonshine-voice 0.1.5, moonshine_voice/assets/two_cities.wav",
        language="en",
        kind="durations",
        utterances=utterances,
    )


def run(
    *told: Told,
    clip: s.ClipInfo | None = None,
    rounds: int = 6,
    runs: int = 2,
    state: str = "complete",
    seed: int = 1,
    request: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> s.Run:
    """A run of these cells, with all figures."""
    clip = clip or recording()
    rnd = random.Random(seed)
    document = _manifest(told, clip, rounds, runs, request or {}, manifest or {})
    events: list[s.Event] = []
    for number in range(rounds):
        for one in told:
            events += _round(one, clip, number, runs, rnd)
        events.append(_watched(number, rnd))
    events.append(s.RunEnded(state=state))
    return summarize(assemble(document, events))


def cell_id(told: Told, clip: s.ClipInfo) -> str:
    """As plans name them."""
    return f"{told.backend}/{told.model}/{clip.name}"


def _manifest(
    told: Sequence[Told],
    clip: s.ClipInfo,
    rounds: int,
    runs: int,
    request: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> s.Manifest:
    ids = [cell_id(one, clip) for one in told]
    asked = {
        "models": list(dict.fromkeys(one.model for one in told)),
        "backends": list(dict.fromkeys(one.backend for one in told)),
        "clips": [clip.name],
        "contract": {"name": "greedy", **DecodeContract().settings()},
        "rounds": rounds,
        "passes": runs,
        "seed": 7,
        "threads": 2,
        "device": "auto",
        "precision": "auto",
        "max_time_s": 120.0,
        "timeout_s": None,
        "retries": 0,
        "fail_fast": False,
        "max_failures": None,
        "max_memory_bytes": None,
        "backends_named": True,
        **request,
    }
    weights = {
        "form": "ctranslate2",
        "precision": "float16",
        "files": {"model.bin": "12" * 32},
        "size_bytes": 78_000_000,
        "source": "converted from a mirror",
    }
    document = {
        "schema_version": s.SCHEMA_VERSION,
        "run": 12,
        "started_at": "2026-11-20T10:00:00+00:00",
        "tool": {"name": "mac-whisper-speedtest", "version": "0.1.0", "git_sha": "c0ffee" * 6},
        "machine": {
            "os": "Linux",
            "os_version": "6.1",
            "architecture": "x86_64",
            "python": "3.12.1",
            "cpu": "A processor",
            "physical_cores": 4,
            "logical_cores": 8,
            "memory_bytes": 16 << 30,
            "gpus": None,
            "load_average_1m": 0.1,
        },
        "request": asked,
        "request_sha256": "34" * 32,
        "libraries": {"numpy": "2.4.6"},
        "clips": [msgspec.to_builtins(clip)],
        "cells": [
            {
                "id": name,
                "backend": one.backend,
                "model": one.model,
                "clip": clip.name,
                "weights": {"model": one.model, **weights},
                "declared": DecodeContract().settings(),
            }
            for name, one in zip(ids, told, strict=True)
        ],
        "schedule": [ids] * rounds,
        "run_id": "5a" * 16,
        **changes,
    }
    return msgspec.convert(document, s.Manifest)


def _round(
    one: Told, clip: s.ClipInfo, number: int, runs: int, rnd: random.Random
) -> list[s.Event]:
    cell = cell_id(one, clip)
    if one.ending in {"unavailable", "skipped"}:
        return [
            s.RoundSkipped(
                cell=cell, round=number, status=one.ending, error_class="", message=one.message
            )
        ]
    events: list[s.Event] = [s.WorkerStarted(cell=cell, round=number, attempt=0)]
    if one.ending == "ok":
        events += [_loaded(cell, number, rnd), _effective(cell, number, one)]
        events += _samples(one, clip, cell, number, runs, rnd)
        events.append(_metered(one, cell, number, clip))
    bad = one.ending != "ok"
    events.append(
        s.WorkerEnded(
            cell=cell,
            round=number,
            attempt=0,
            status=one.ending,
            stage="load" if bad else "",
            error_class="RuntimeError" if bad else "",
            message=one.message,
            log_tail=one.log,
            exit_code=1 if bad else 0,
        )
    )
    return events


def _loaded(cell: str, number: int, rnd: random.Random) -> s.Loaded:
    return msgspec.convert(
        {
            "cell": cell,
            "event": "loaded",
            "round": number,
            "attempt": 0,
            "spawn_s": 0.1,
            "import_s": rnd.uniform(0.5, 0.6),
            "hello_wall_s": 0.8,
            "load_s": rnd.uniform(0.2, 0.3),
            "load_wall_s": 0.31,
            "device": "cpu",
            "precision": "float32",
            "version": "1.2.3",
            "versions": {"numpy": "2.4.6"},
            "details": {},
        },
        s.Loaded,
    )


def _effective(cell: str, number: int, one: Told) -> s.Effective:
    return msgspec.convert(
        {
            "cell": cell,
            "event": "effective",
            "round": number,
            "attempt": 0,
            "values": {**DecodeContract().settings(), **one.effective},
            "observed": ["beam_size", "language"],
            "remarks": list(one.remarks),
        },
        s.Effective,
    )


def _samples(
    one: Told, clip: s.ClipInfo, cell: str, number: int, runs: int, rnd: random.Random
) -> list[s.Event]:
    spoken: Sequence[s.UtteranceInfo | s.ClipInfo] = clip.utterances or [clip]
    events: list[s.Event] = []

    def sample(each: s.UtteranceInfo | s.ClipInfo, index: int, kind: str, **more: Any) -> s.Sample:
        name = each.name if clip.utterances else ""
        text = one.text.get(name) if isinstance(one.text, Mapping) else one.text
        seconds = (one.fixed_s + one.rtf * each.seconds) * rnd.lognormvariate(0, one.spread)
        return s.Sample(
            cell=cell,
            round=number,
            attempt=0,
            index=index,
            kind=kind,
            seconds=seconds,
            wall_s=seconds + 0.001,
            text=text or "",
            segments=[],
            language="en",
            tokens=None,
            cpu_s=seconds * 1.5,
            peak_rss_bytes=int(3e8 + 1e8 * one.rtf),
            utterance=name,
            failed="" if text is not None else "RuntimeError: no text",
            **more,
        )

    events.append(sample(spoken[0], 0, "warmup"))
    for index in range(runs):
        for each in spoken:
            if index == 0 and number in one.retaken and each is spoken[0]:
                taken = sample(each, 0, "timed", disturbed="other programs took 40 %", retaken=True)
                events.append(taken)
            events.append(sample(each, index, "timed"))
    return events


def _metered(one: Told, cell: str, number: int, clip: s.ClipInfo) -> s.Metered:
    readings: dict[str, dict[str, Any]]
    if one.joules is None:
        readings = {"energy_wall_s": {"value": None, "unit": "s", "reason": "no energy counter"}}
    else:
        readings = {
            "energy_wall_s": {"value": 10.0, "unit": "s"},
            "energy_package_j": {"value": one.joules, "unit": "J", "quality": "measured (RAPL)"},
            "idle_energy_wall_s": {"value": 10.0, "unit": "s"},
            "idle_energy_package_j": {"value": 5.0, "unit": "J", "quality": "measured (RAPL)"},
        }
    document = {
        "event": "metered",
        "cell": cell,
        "round": number,
        "attempt": 0,
        "audio_s": clip.seconds,
        "wall_s": 10.0,
        "readings": readings,
    }
    return msgspec.convert(document, s.Metered)


def _watched(number: int, rnd: random.Random) -> s.RoundWatched:
    def look() -> s.ConditionsInfo:
        return s.ConditionsInfo(
            values={"load_average_1m": rnd.uniform(0, 2), "swap_used_bytes": 0},
            unknown={"thermal_pressure": "Linux has no such level"},
        )

    return s.RoundWatched(
        round=number,
        before=look(),
        after=look(),
        canary_before_s=rnd.uniform(0.0198, 0.0202),
        canary_after_s=rnd.uniform(0.0198, 0.0202),
        changes=["power: mains -> battery"] if number == 2 else [],
        flagged="power: mains -> battery" if number == 2 else "",
    )
