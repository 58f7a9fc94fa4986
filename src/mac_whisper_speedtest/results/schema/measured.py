"""What is measured: loads, samples, and what the probes read."""

from __future__ import annotations

from typing import Annotated

from mac_whisper_speedtest.declared import Column, Doc, FieldPolicy
from mac_whisper_speedtest.results.schema.base import Struct

LOAD_FRESH, LOAD_COLD, LOAD_WARM = "fresh", "cold", "warm"
"""The rungs of the load ladder."""


class SegmentInfo(Struct, frozen=True, kw_only=True):
    """A piece of transcript; seconds from the start of the audio."""

    start_s: Annotated[float, Doc("from the start of the audio", unit="s"), FieldPolicy.KEPT]
    end_s: Annotated[float, Doc("from the start of the audio", unit="s"), FieldPolicy.KEPT]
    text: Annotated[str, Doc("the words, as the backend wrote them"), FieldPolicy.SAID]


class LoadResult(Struct, frozen=True, kw_only=True):
    """What it took one worker to get ready."""

    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    attempt: Annotated[int, Doc("the attempt"), FieldPolicy.KEPT]
    spawn_s: Annotated[
        float | None,
        Doc(
            "from the start of the process to its first message",
            unit="s",
            null="no message was seen before it was ready",
        ),
        FieldPolicy.KEPT,
    ]
    import_s: Annotated[
        float | None,
        Doc(
            "loading libraries, by the worker's clock",
            unit="s",
            null="the worker does not report it",
        ),
        FieldPolicy.KEPT,
    ]
    hello_wall_s: Annotated[
        float,
        Doc(
            "from asking `hello` to its answer, by the tool's clock: start of the process and "
            "imports together",
            unit="s",
        ),
        FieldPolicy.KEPT,
    ]
    load_s: Annotated[
        float, Doc("loading weights, by the worker's clock", unit="s"), FieldPolicy.KEPT
    ]
    load_wall_s: Annotated[float, Doc("the same by the tool's clock", unit="s"), FieldPolicy.KEPT]
    device: Annotated[
        str,
        Doc("the device in use, as this worker reports it"),
        FieldPolicy.SCRUBBED,
    ]
    device_asked: Annotated[
        str,
        Doc("what the worker was requested to use: `auto` or a device name"),
        FieldPolicy.SCRUBBED,
    ]
    precision: Annotated[
        str,
        Doc("the precision in use, as this worker reports it"),
        FieldPolicy.SCRUBBED,
    ]
    precision_asked: Annotated[
        str,
        Doc("what the worker was requested to compute in, or `auto`"),
        FieldPolicy.SCRUBBED,
    ]
    peak_rss_before_bytes: Annotated[
        int | None,
        Doc(
            "highest resident memory of the worker before loading",
            unit="byte",
            null="the worker does not report it",
        ),
        FieldPolicy.KEPT,
    ] = None
    peak_rss_bytes: Annotated[
        int | None,
        Doc(
            "highest resident memory of the worker after loading",
            unit="byte",
            null="the worker does not report it",
        ),
        FieldPolicy.KEPT,
    ] = None
    rung: Annotated[str, Doc("`fresh`, `cold` or `warm`"), FieldPolicy.KEPT] = LOAD_FRESH
    rung_note: Annotated[
        str,
        Doc(
            "what was done for it, in words. a fresh one has `not known to be cold: ...` where "
            "a cold one was requested and the files could not be dropped, as on macOS without "
            "root"
        ),
        FieldPolicy.SCRUBBED,
    ] = ""
    compile_cache: Annotated[
        str,
        Doc(
            "whether the device's compiler had compiled for this program and system before: "
            "`there`, `absent`, `unknown: ...` and why; empty where nothing is compiled (CPU). "
            "Core ML's bundles can be seen, Metal's kernels cannot"
        ),
        FieldPolicy.SCRUBBED,
    ] = ""


class SampleResult(Struct, frozen=True, kw_only=True):
    """One transcription."""

    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT, Column(brief=True)]
    attempt: Annotated[int, Doc("the attempt"), FieldPolicy.KEPT, Column(brief=True)]
    index: Annotated[
        int,
        Doc(
            "which pass over the speech: 0, 1, ... for timed samples; -1 for the warm-up. A "
            "sample that replaces a retaken one has its index"
        ),
        FieldPolicy.KEPT,
        Column(brief=True),
    ]
    kind: Annotated[
        str,
        Doc(
            "`warmup` (the first call after loading, on the first recording; never in a median) "
            "or `timed`"
        ),
        FieldPolicy.KEPT,
        Column(brief=True),
    ]
    seconds: Annotated[
        float,
        Doc("from samples in memory to all of the text, by the worker's clock", unit="s"),
        FieldPolicy.KEPT,
        Column(brief=True),
    ]
    wall_s: Annotated[
        float,
        Doc("from the call to the answer, by the tool's clock", unit="s"),
        FieldPolicy.KEPT,
        Column(),
    ]
    text: Annotated[
        str, Doc("the whole transcript, untouched"), FieldPolicy.SAID, Column(on_request=True)
    ]
    segments: Annotated[
        list[SegmentInfo], Doc("the same in pieces; may be empty"), FieldPolicy.INSIDE
    ]
    language: Annotated[
        str | None,
        Doc("language that it was decoded as", null="the backend does not report it"),
        FieldPolicy.SCRUBBED,
        Column(),
    ]
    tokens: Annotated[
        int | None,
        Doc("decoded tokens", null="the backend does not report it"),
        FieldPolicy.KEPT,
        Column(),
    ]
    cpu_s: Annotated[
        float | None,
        Doc(
            "processor time of the worker in the call, all its threads",
            unit="s",
            null="the worker does not report it",
        ),
        FieldPolicy.KEPT,
        Column(),
    ]
    peak_rss_bytes: Annotated[
        int | None,
        Doc(
            "highest resident memory of the worker so far. GPU memory may not be in it",
            unit="byte",
            null="the worker does not report it",
        ),
        FieldPolicy.KEPT,
        Column(),
    ]
    utterance: Annotated[
        str,
        Doc("the recording's name in `utterances`; empty where there is only one"),
        FieldPolicy.UTTERANCE,
        Column(brief=True),
    ] = ""
    failed: Annotated[
        str,
        Doc(
            "error class and message, where the backend gave no text for this recording of a "
            "set, whether the worker lived on or not; else empty. `text` is then empty and "
            "`seconds` is `wall_s`"
        ),
        FieldPolicy.SCRUBBED,
        Column(brief=True),
    ] = ""
    fallbacks: Annotated[
        int | None,
        Doc(
            "segments that were decoded at a higher temperature than the contract's first",
            null="the backend does not report it",
        ),
        FieldPolicy.KEPT,
        Column(),
    ] = None
    first_segment_s: Annotated[
        float | None,
        Doc(
            "from samples in memory to the first segment, by the worker's clock",
            unit="s",
            null="the backend does not stream segments",
        ),
        FieldPolicy.KEPT,
        Column(),
    ] = None
    stages_s: Annotated[
        dict[str, float],
        Doc(
            "stage (`mel`, `encode`, `decode`, ...) → time in this call, as the backend's "
            "library reports it; empty when it does not",
            unit="s",
        ),
        FieldPolicy.SCRUBBED,
    ] = {}
    allocator_bytes: Annotated[
        dict[str, int],
        Doc(
            "what the libraries' own allocators held when the call had ended, see below; empty "
            "when they do not report it",
            unit="byte",
        ),
        FieldPolicy.SCRUBBED,
    ] = {}
    tree_cpu_s: Annotated[
        float | None,
        Doc(
            "processor time of the worker and all that it started, from the question to the answer",
            unit="s",
            null="a warm-up, a failed sample, or the system does not report it",
        ),
        FieldPolicy.KEPT,
        Column(),
    ] = None
    outside_cpu_s: Annotated[
        float | None,
        Doc(
            "processor time that everything but the worker's tree and this tool took meanwhile; "
            "never below 0",
            unit="s",
            null="as `tree_cpu_s`",
        ),
        FieldPolicy.KEPT,
        Column(),
    ] = None
    disturbed: Annotated[
        str,
        Doc(
            "in words, how much that was, if it was too much; empty: it was not, or cannot be known"
        ),
        FieldPolicy.SCRUBBED,
        Column(brief=True),
    ] = ""
    retaken: Annotated[
        bool,
        Doc(
            "this sample was disturbed, and discarded because it was retaken. It counts in no "
            "figure"
        ),
        FieldPolicy.KEPT,
        Column(),
    ] = False


class ReadingInfo(Struct, frozen=True, kw_only=True):
    """One figure of a probe."""

    value: Annotated[
        float | None,
        Doc("the figure", unit="as in `unit`", null="it is not known; `reason` says why"),
        FieldPolicy.KEPT,
    ]
    unit: Annotated[str, Doc("`s`, `bytes`, `J`; empty for a count"), FieldPolicy.KEPT]
    reason: Annotated[
        str, Doc("why there is no value, in words; else empty"), FieldPolicy.SCRUBBED
    ] = ""
    quality: Annotated[
        str,
        Doc(
            "how far the value can be trusted, where that is not fully: flags as listed below, "
            "joined by commas; else empty"
        ),
        FieldPolicy.SCRUBBED,
    ] = ""


class MeterResult(Struct, frozen=True, kw_only=True):
    """What probes read around the timed samples of one worker.

    Probes look before the first sample and after the last. The journal's writes lie in between.
    """

    round: Annotated[int, Doc("the round"), FieldPolicy.KEPT]
    attempt: Annotated[int, Doc("the attempt"), FieldPolicy.KEPT]
    audio_s: Annotated[
        float,
        Doc("audio that was transcribed in between, retaken samples included", unit="s"),
        FieldPolicy.KEPT,
    ]
    wall_s: Annotated[
        float,
        Doc("from the first sample's start to the last one's end", unit="s"),
        FieldPolicy.KEPT,
    ]
    readings: Annotated[
        dict[str, ReadingInfo],
        Doc("what was read, by name; see *Names of readings*"),
        FieldPolicy.INSIDE,
    ]
