"""What of a run may be given away: every field of every struct, and how it goes into a bundle.

This is a list of what is allowed. A field that is not in it goes into no bundle, and a test fails
until somebody has thought about it and written it down here and in docs/bundles.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.results import schema as s

DETAILS = frozenset({"attention", "backend", "blas", "coreml", "system_info", "weights"})
"""The keys of ``details`` that the tool's own backends write. Another backend may write anything,
such as the number of a graphics card or who has compiled it."""

_EACH = dict.fromkeys(("round", "attempt"), FieldPolicy.KEPT)

_LOAD = {
    **_EACH,
    **dict.fromkeys(
        ("spawn_s", "import_s", "hello_wall_s", "load_s", "load_wall_s", "rung"), FieldPolicy.KEPT
    ),
    **dict.fromkeys(("peak_rss_before_bytes", "peak_rss_bytes"), FieldPolicy.KEPT),
    **dict.fromkeys(
        ("device", "device_asked", "precision", "precision_asked"), FieldPolicy.SCRUBBED
    ),
    "rung_note": FieldPolicy.SCRUBBED,
    "compile_cache": FieldPolicy.SCRUBBED,
}
_SAMPLE = {
    **_EACH,
    **dict.fromkeys(("index", "kind", "seconds", "wall_s", "tokens", "cpu_s"), FieldPolicy.KEPT),
    **dict.fromkeys(
        ("peak_rss_bytes", "fallbacks", "first_segment_s", "tree_cpu_s"), FieldPolicy.KEPT
    ),
    **dict.fromkeys(("outside_cpu_s", "retaken"), FieldPolicy.KEPT),
    "text": FieldPolicy.SAID,
    "segments": FieldPolicy.INSIDE,
    "utterance": FieldPolicy.UTTERANCE,
    "language": FieldPolicy.SCRUBBED,
    "failed": FieldPolicy.SCRUBBED,
    "stages_s": FieldPolicy.SCRUBBED,
    "allocator_bytes": FieldPolicy.SCRUBBED,
    "disturbed": FieldPolicy.SCRUBBED,
}
_METER = {
    **_EACH,
    "audio_s": FieldPolicy.KEPT,
    "wall_s": FieldPolicy.KEPT,
    "readings": FieldPolicy.INSIDE,
}
_ROUND = {
    "round": FieldPolicy.KEPT,
    "before": FieldPolicy.INSIDE,
    "after": FieldPolicy.INSIDE,
    **dict.fromkeys(
        ("canary_before_s", "canary_after_s", "replaced_by", "cooled_s"), FieldPolicy.KEPT
    ),
    "changes": FieldPolicy.SCRUBBED,
    "flagged": FieldPolicy.SCRUBBED,
}
_DECISION = {
    **dict.fromkeys(("after", "until", "look", "level"), FieldPolicy.KEPT),
    "cells": FieldPolicy.CELL,
    "reason": FieldPolicy.SCRUBBED,
}
_ENDING = {
    **_EACH,
    **dict.fromkeys(("status", "stage", "exit_code", "busy_after_s"), FieldPolicy.KEPT),
    "error_class": FieldPolicy.SCRUBBED,
    "message": FieldPolicy.SCRUBBED,
    # The last 16 KiB of whatever a library printed. No figure needs it, and nobody can vouch for
    # it; the error's class and message say what went wrong.
    "log_tail": FieldPolicy.DROPPED,
    "weights_found": FieldPolicy.SCRUBBED,
    "repaired": FieldPolicy.SCRUBBED,
}
_SPEECH = {
    **dict.fromkeys(("seconds", "samples", "pcm_sha256", "silences_s"), FieldPolicy.KEPT),
    "language": FieldPolicy.NAME,
    "reference": FieldPolicy.REFERENCE,
}
_CELL = {"cell": FieldPolicy.CELL}

POLICIES: Mapping[type[s.Struct], Mapping[str, FieldPolicy]] = {
    s.Manifest: {
        **dict.fromkeys(("schema_version", "run", "started_at", "run_id"), FieldPolicy.KEPT),
        **dict.fromkeys(("tool", "machine", "request", "clips", "cells"), FieldPolicy.INSIDE),
        **dict.fromkeys(("outcome", "noise"), FieldPolicy.INSIDE),
        "request_sha256": FieldPolicy.MADE_ANEW,
        "libraries": FieldPolicy.NAME,
        "schedule": FieldPolicy.CELL,
        "repaired": FieldPolicy.SCRUBBED,
        # They are names on one machine: `base` of somebody else's must not become `base` here.
        "tags": FieldPolicy.DROPPED,
    },
    s.ToolInfo: dict.fromkeys(("name", "version", "git_sha"), FieldPolicy.KEPT),
    s.MachineInfo: {
        **dict.fromkeys(("os", "architecture", "python"), FieldPolicy.KEPT),
        **dict.fromkeys(("physical_cores", "logical_cores", "memory_bytes"), FieldPolicy.KEPT),
        "load_average_1m": FieldPolicy.KEPT,
        # Whoever compiles a kernel names it as they like, often after the machine.
        "os_version": FieldPolicy.NUMBERS,
        **dict.fromkeys(("cpu", "gpus", "unknown"), FieldPolicy.SCRUBBED),
    },
    s.RequestInfo: {
        **dict.fromkeys(("models", "backends", "contract", "reference_backend"), FieldPolicy.NAME),
        "clips": FieldPolicy.CLIP,
        **dict.fromkeys(("device", "precision"), FieldPolicy.NAME),
        **dict.fromkeys(
            ("rounds", "passes", "seed", "threads", "max_time_s", "timeout_s"), FieldPolicy.KEPT
        ),
        **dict.fromkeys(
            ("retries", "fail_fast", "max_failures", "max_memory_bytes"), FieldPolicy.KEPT
        ),
        **dict.fromkeys(("backends_named", "strict", "repair", "budget_s"), FieldPolicy.KEPT),
        **dict.fromkeys(("ci_width", "max_rounds", "margin", "durations"), FieldPolicy.KEPT),
        **dict.fromkeys(("affinity", "nice", "cold_load", "retake"), FieldPolicy.KEPT),
    },
    s.ClipInfo: {
        **_SPEECH,
        "name": FieldPolicy.CLIP,
        "source": FieldPolicy.SOURCE,
        "kind": FieldPolicy.KEPT,
        **dict.fromkeys(("utterances", "left_out", "unscored"), FieldPolicy.INSIDE),
    },
    s.UtteranceInfo: {**_SPEECH, "name": FieldPolicy.UTTERANCE},
    s.LeftOutInfo: {"name": FieldPolicy.UTTERANCE, "reason": FieldPolicy.SCRUBBED},
    s.CellPlan: {
        "id": FieldPolicy.CELL,
        "backend": FieldPolicy.NAME,
        "model": FieldPolicy.NAME,
        "clip": FieldPolicy.CLIP,
        "weights": FieldPolicy.INSIDE,
        "declared": FieldPolicy.NAME,
    },
    s.WeightsInfo: {
        **dict.fromkeys(("model", "form", "precision"), FieldPolicy.NAME),
        "files": FieldPolicy.FILES,
        "size_bytes": FieldPolicy.KEPT,
        "source": FieldPolicy.SCRUBBED,
        "network_sha256": FieldPolicy.KEPT,
    },
    s.NoiseInfo: {
        **dict.fromkeys(("floor", "smallest_detectable", "spread", "ratio"), FieldPolicy.KEPT),
        **dict.fromkeys(("verdict", "rounds", "rounds_for", "measured_at"), FieldPolicy.KEPT),
        **dict.fromkeys(("backend", "model"), FieldPolicy.NAME),
    },
    s.Outcome: {"state": FieldPolicy.KEPT, "message": FieldPolicy.SCRUBBED},
    s.SegmentInfo: {
        "start_s": FieldPolicy.KEPT,
        "end_s": FieldPolicy.KEPT,
        "text": FieldPolicy.SAID,
    },
    s.ReadingInfo: {"value": FieldPolicy.KEPT, "unit": FieldPolicy.KEPT}
    | dict.fromkeys(("reason", "quality"), FieldPolicy.SCRUBBED),
    s.ConditionsInfo: dict.fromkeys(("values", "unknown"), FieldPolicy.SCRUBBED),
    s.WorkerStarted: {**_CELL, **_EACH},
    s.Loaded: {
        **_CELL,
        **_LOAD,
        "version": FieldPolicy.SCRUBBED,
        "versions": FieldPolicy.SCRUBBED,
        "details": FieldPolicy.DETAILS,
        "warnings": FieldPolicy.SCRUBBED,
    },
    s.Effective: {**_CELL, **_EACH, "values": FieldPolicy.NAME, "observed": FieldPolicy.NAME}
    | {"remarks": FieldPolicy.SCRUBBED},
    s.Sample: {**_CELL, **_SAMPLE},
    s.Metered: {**_CELL, **_METER},
    s.RoundWatched: _ROUND,
    s.Decided: _DECISION,
    s.WorkerEnded: {**_CELL, **_ENDING},
    s.RoundSkipped: {
        **_CELL,
        "round": FieldPolicy.KEPT,
        "status": FieldPolicy.KEPT,
        "error_class": FieldPolicy.SCRUBBED,
        "message": FieldPolicy.SCRUBBED,
    },
    s.Resumed: {"at": FieldPolicy.KEPT, "tool": FieldPolicy.INSIDE},
    s.RunEnded: {"state": FieldPolicy.KEPT, "message": FieldPolicy.SCRUBBED},
}
