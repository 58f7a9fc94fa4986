"""What of a run may be given away: every field of every struct, and how it goes into a bundle.

This is a list of what is allowed. A field that is not in it goes into no bundle, and a test fails
until somebody has thought about it and written it down here and in docs/bundles.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from mac_whisper_speedtest.results import schema as s


class How(StrEnum):
    """How a field goes into a bundle."""

    KEPT = "as it is: a number, a hash, or a word that only this tool writes"
    NAME = "as it is: a name that is needed; nothing is written if it names somebody"
    SCRUBBED = "scrubbed: a text from outside, or one that quotes such a text"
    SAID = "as it is: what a backend heard; empty with --without-texts"
    REFERENCE = "as it is: what was said; null with --without-texts"
    CLIP = "the name of public speech as it is, else one made of its hash"
    UTTERANCE = "likewise, else its number"
    CELL = "backend/model/clip, with the clip's name as it is in the bundle"
    SOURCE = "as it is where the speech is public, else in general words"
    NUMBERS = "only the version number that it begins with"
    FILES = "file names as published, else numbered; every hash as it is"
    DETAILS = "scrubbed, and only keys of the tool's own backends"
    MADE_ANEW = "computed again over the request as it is in the bundle"
    DROPPED = "emptied"
    INSIDE = "an object of this schema, field by field"


DETAILS = frozenset({"attention", "backend", "blas", "coreml", "system_info", "weights"})
"""The keys of ``details`` that the tool's own backends write. Another backend may write anything,
such as the number of a graphics card or who has compiled it."""

_EACH = dict.fromkeys(("round", "attempt"), How.KEPT)

_LOAD = {
    **_EACH,
    **dict.fromkeys(
        ("spawn_s", "import_s", "hello_wall_s", "load_s", "load_wall_s", "rung"), How.KEPT
    ),
    **dict.fromkeys(("peak_rss_before_bytes", "peak_rss_bytes"), How.KEPT),
    **dict.fromkeys(("device", "device_asked", "precision", "precision_asked"), How.SCRUBBED),
    "rung_note": How.SCRUBBED,
    "compile_cache": How.SCRUBBED,
}
_SAMPLE = {
    **_EACH,
    **dict.fromkeys(("index", "kind", "seconds", "wall_s", "tokens", "cpu_s"), How.KEPT),
    **dict.fromkeys(("peak_rss_bytes", "fallbacks", "first_segment_s", "tree_cpu_s"), How.KEPT),
    **dict.fromkeys(("outside_cpu_s", "repeated"), How.KEPT),
    "text": How.SAID,
    "segments": How.INSIDE,
    "utterance": How.UTTERANCE,
    "language": How.SCRUBBED,
    "failed": How.SCRUBBED,
    "stages_s": How.SCRUBBED,
    "allocator_bytes": How.SCRUBBED,
    "touched": How.SCRUBBED,
}
_METER = {**_EACH, "audio_s": How.KEPT, "wall_s": How.KEPT, "readings": How.INSIDE}
_ROUND = {
    "round": How.KEPT,
    "before": How.INSIDE,
    "after": How.INSIDE,
    **dict.fromkeys(("canary_before_s", "canary_after_s", "repeated_as", "cooled_s"), How.KEPT),
    "changes": How.SCRUBBED,
    "marked": How.SCRUBBED,
}
_DECISION = {
    **dict.fromkeys(("after", "until", "look", "level"), How.KEPT),
    "cells": How.CELL,
    "reason": How.SCRUBBED,
}
_ENDING = {
    **_EACH,
    **dict.fromkeys(("status", "stage", "exit_code", "busy_after_s"), How.KEPT),
    "error_class": How.SCRUBBED,
    "message": How.SCRUBBED,
    # The last 16 KiB of whatever a library printed. No figure needs it, and nobody can vouch for
    # it; the error's class and message say what went wrong.
    "log_tail": How.DROPPED,
    "weights_found": How.SCRUBBED,
    "repaired": How.SCRUBBED,
}
_SPEECH = {
    **dict.fromkeys(("seconds", "samples", "pcm_sha256", "silences_s"), How.KEPT),
    "language": How.NAME,
    "reference": How.REFERENCE,
}
_CELL = {"cell": How.CELL}

FIELDS: Mapping[type[s.Struct], Mapping[str, How]] = {
    s.Manifest: {
        **dict.fromkeys(("schema_version", "run", "started_at", "run_id"), How.KEPT),
        **dict.fromkeys(("tool", "machine", "request", "clips", "cells"), How.INSIDE),
        **dict.fromkeys(("outcome", "noise"), How.INSIDE),
        "request_sha256": How.MADE_ANEW,
        "libraries": How.NAME,
        "schedule": How.CELL,
        "repaired": How.SCRUBBED,
        # They are names on one machine: `base` of somebody else's must not become `base` here.
        "tags": How.DROPPED,
    },
    s.ToolInfo: dict.fromkeys(("name", "version", "git_sha"), How.KEPT),
    s.MachineInfo: {
        **dict.fromkeys(("os", "architecture", "python"), How.KEPT),
        **dict.fromkeys(("physical_cores", "logical_cores", "memory_bytes"), How.KEPT),
        "load_average_1m": How.KEPT,
        # Whoever compiles a kernel names it as they like, often after the machine.
        "os_version": How.NUMBERS,
        **dict.fromkeys(("cpu", "gpus", "unknown"), How.SCRUBBED),
    },
    s.RequestInfo: {
        **dict.fromkeys(("models", "backends", "contract", "reference_backend"), How.NAME),
        "clips": How.CLIP,
        **dict.fromkeys(("device", "precision"), How.NAME),
        **dict.fromkeys(("rounds", "runs", "seed", "threads", "max_time_s", "timeout_s"), How.KEPT),
        **dict.fromkeys(("retries", "fail_fast", "max_failures", "max_memory_bytes"), How.KEPT),
        **dict.fromkeys(("backends_named", "strict", "repair", "budget_s"), How.KEPT),
        **dict.fromkeys(("target_width", "max_rounds", "margin", "durations"), How.KEPT),
        **dict.fromkeys(("affinity", "nice", "ladder", "repeat"), How.KEPT),
    },
    s.ClipInfo: {
        **_SPEECH,
        "name": How.CLIP,
        "source": How.SOURCE,
        "kind": How.KEPT,
        **dict.fromkeys(("utterances", "left_out", "unscored"), How.INSIDE),
    },
    s.UtteranceInfo: {**_SPEECH, "name": How.UTTERANCE},
    s.LeftOutInfo: {"name": How.UTTERANCE, "reason": How.SCRUBBED},
    s.CellPlan: {
        "id": How.CELL,
        "backend": How.NAME,
        "model": How.NAME,
        "clip": How.CLIP,
        "weights": How.INSIDE,
        "declared": How.NAME,
    },
    s.WeightsInfo: {
        **dict.fromkeys(("model", "form", "precision"), How.NAME),
        "files": How.FILES,
        "size_bytes": How.KEPT,
        "source": How.SCRUBBED,
        "network_sha256": How.KEPT,
    },
    s.NoiseInfo: {
        **dict.fromkeys(("floor", "smallest_detectable", "spread", "ratio"), How.KEPT),
        **dict.fromkeys(("verdict", "rounds", "rounds_for", "measured_at"), How.KEPT),
        **dict.fromkeys(("backend", "model"), How.NAME),
    },
    s.Outcome: {"state": How.KEPT, "message": How.SCRUBBED},
    s.SegmentInfo: {"start_s": How.KEPT, "end_s": How.KEPT, "text": How.SAID},
    s.ReadingInfo: {"value": How.KEPT, "unit": How.KEPT}
    | dict.fromkeys(("reason", "quality"), How.SCRUBBED),
    s.ConditionsInfo: dict.fromkeys(("values", "unknown"), How.SCRUBBED),
    s.WorkerStarted: {**_CELL, **_EACH},
    s.Loaded: {
        **_CELL,
        **_LOAD,
        "version": How.SCRUBBED,
        "versions": How.SCRUBBED,
        "details": How.DETAILS,
        "warnings": How.SCRUBBED,
    },
    s.Effective: {**_CELL, **_EACH, "values": How.NAME, "observed": How.NAME}
    | {"remarks": How.SCRUBBED},
    s.Sample: {**_CELL, **_SAMPLE},
    s.Metered: {**_CELL, **_METER},
    s.RoundWatched: _ROUND,
    s.Decided: _DECISION,
    s.WorkerEnded: {**_CELL, **_ENDING},
    s.RoundSkipped: {
        **_CELL,
        "round": How.KEPT,
        "status": How.KEPT,
        "error_class": How.SCRUBBED,
        "message": How.SCRUBBED,
    },
    s.Resumed: {"at": How.KEPT, "tool": How.INSIDE},
    s.RunEnded: {"state": How.KEPT, "message": How.SCRUBBED},
}
