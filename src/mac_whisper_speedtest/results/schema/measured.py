"""What is measured: loads, samples, and what the probes read."""

from __future__ import annotations

from mac_whisper_speedtest.declared import Column, FieldPolicy, Word
from mac_whisper_speedtest.results.schema.base import Struct, fact, inside, kept, scrubbed
from mac_whisper_speedtest.results.schema.machine import GpuInfo


class LoadRung(Word):
    """What a load found in memory. Without ``--cold-load`` every load is a fresh one."""

    FRESH = "fresh", "a new process; the files may be in the page cache"
    COLD = "cold", "a new process, after the files were dropped from the system's page cache"
    WARM = "warm", "the same process, after the weights were unloaded"


LOAD_FRESH, LOAD_COLD, LOAD_WARM = LoadRung


class SegmentInfo(Struct):
    """A piece of transcript; seconds from the start of the audio."""

    start_s: float = kept("from the start of the audio")
    end_s: float = kept("from the start of the audio")
    text: str = fact("the words, as the backend wrote them", policy=FieldPolicy.SAID)


class LoadResult(Struct):
    """What it took one worker to get ready."""

    round: int = kept("the round")
    attempt: int = kept("the attempt")
    spawn_s: float | None = kept(
        "from the start of the process to its first message",
        null="no message was seen before it was ready",
    )
    import_s: float | None = kept(
        "loading libraries, by the worker's clock", null="the worker does not report it"
    )
    hello_wall_s: float = kept(
        "from asking `hello` to its answer, by the tool's clock: start of the process and "
        "imports together"
    )
    load_s: float = kept("loading weights, by the worker's clock")
    load_wall_s: float = kept("the same by the tool's clock")
    device: str = scrubbed("the device in use, as this worker reports it")
    device_asked: str = scrubbed("what the worker was requested to use: `auto` or a device name")
    precision: str = scrubbed("the precision in use, as this worker reports it")
    precision_asked: str = scrubbed("what the worker was requested to compute in, or `auto`")
    peak_rss_before_bytes: int | None = kept(
        "highest resident memory of the worker before loading",
        null="the worker does not report it",
        default=None,
    )
    peak_rss_bytes: int | None = kept(
        "highest resident memory of the worker after loading",
        null="the worker does not report it",
        default=None,
    )
    thread_variables: dict[str, str] = scrubbed(
        "variable that limits the threads of a library → its value for this worker. The tool sets "
        "`OMP_NUM_THREADS` and `VECLIB_MAXIMUM_THREADS`; others are from the user's environment",
        default={},
    )
    gpu: GpuInfo | None = inside(
        "the NVIDIA GPU that it computes on: the one that is metered",
        null="the worker names none",
        default=None,
    )
    rung: str = kept("`fresh`, `cold` or `warm`", default=LOAD_FRESH)
    rung_note: str = scrubbed(
        "what was done for it, in words. a fresh one has `not known to be cold: ...` where a "
        "cold one was requested and the files could not be dropped, as on macOS without root",
        default="",
    )
    compile_cache: str = scrubbed(
        "whether the device's compiler had compiled for this program and system before: `there`, "
        "`absent`, `unknown: ...` and why; empty where nothing is compiled (CPU). Core ML "
        "keeps bundles per program or in a folder that all programs share: only the former show "
        "that this program compiled, and neither names a model. Metal's kernels cannot be seen",
        default="",
    )


class SampleResult(Struct):
    """One transcription."""

    round: int = kept("the round", column=Column(brief=True))
    attempt: int = kept("the attempt", column=Column(brief=True))
    index: int = kept(
        "which pass over the speech: 0, 1, ... for timed samples; -1 for warm-ups. A sample "
        "that replaces a retaken one has its index",
        column=Column(brief=True),
    )
    kind: str = kept(
        "`warmup` (calls after loading, until the process is warm; never in a median) or `timed`",
        column=Column(brief=True),
    )
    seconds: float = kept(
        "from samples in memory to all of the text, by the worker's clock",
        column=Column(brief=True),
    )
    wall_s: float = kept("from the call to the answer, by the tool's clock", column=Column())
    text: str = fact(
        "the whole transcript, without control characters",
        column=Column(on_request=True),
        policy=FieldPolicy.SAID,
    )
    segments: list[SegmentInfo] = inside("the same in pieces; may be empty")
    language: str | None = scrubbed(
        "language that it was decoded as", null="the backend does not report it", column=Column()
    )
    tokens: int | None = kept(
        "decoded tokens", null="the backend does not report it", column=Column()
    )
    cpu_s: float | None = kept(
        "processor time of the worker in the call, all its threads",
        null="the worker does not report it",
        column=Column(),
    )
    peak_rss_bytes: int | None = kept(
        "highest resident memory of the worker so far. GPU memory may not be in it",
        null="the worker does not report it",
        column=Column(),
    )
    peak_footprint_bytes: int | None = kept(
        "macOS: highest footprint so far, which has Metal's memory in it, of the worker and all "
        "that it started, by the tool; the sum of their peaks",
        null="not macOS, a failed sample, or the system does not report it",
        column=Column(),
        default=None,
    )
    utterance: str = fact(
        "the recording's name in `utterances`; empty where there is only one",
        column=Column(brief=True),
        policy=FieldPolicy.UTTERANCE,
        default="",
    )
    failed: str = scrubbed(
        "error class and message, where the backend gave no text for this recording of a set, "
        "whether the worker lived on or not; else empty. `text` is then empty and `seconds` is "
        "`wall_s`",
        column=Column(brief=True),
        default="",
    )
    fallbacks: int | None = kept(
        "segments that were decoded at a higher temperature than the contract's first",
        null="the backend does not report it",
        column=Column(),
        default=None,
    )
    first_segment_s: float | None = kept(
        "from samples in memory to the first segment, by the worker's clock",
        null="the backend does not stream segments",
        column=Column(),
        default=None,
    )
    stages_s: dict[str, float] = scrubbed(
        "stage (`mel`, `encode`, `decode`, ...) → time in this call, as the backend's library "
        "reports it; empty when it does not",
        default={},
    )
    allocator_bytes: dict[str, int] = scrubbed(
        "what the libraries' own allocators held when the call had ended, by the words under "
        "*Allocator*; empty when they do not report it",
        default={},
    )
    tree_cpu_s: float | None = kept(
        "processor time of the worker and all that it started, from the question to the answer",
        null="a warm-up, a failed sample, or the system does not report it",
        column=Column(),
        default=None,
    )
    efficiency_cpu_s: float | None = kept(
        "what of `tree_cpu_s` was on a Mac's efficiency cores",
        null="as `tree_cpu_s`, or there are no such cores",
        default=None,
    )
    outside_cpu_s: float | None = kept(
        "processor time that everything but the worker's tree and this tool took meanwhile; "
        "never below 0",
        null="as `tree_cpu_s`",
        column=Column(),
        default=None,
    )
    disturbed: str = scrubbed(
        "in words, what disturbed it: too much of that, or memory that was swapped out; empty: "
        "nothing did, or it cannot be known",
        column=Column(brief=True),
        default="",
    )
    retaken: bool = kept(
        "this sample was disturbed, and discarded because it was retaken. It counts in no figure",
        column=Column(),
        default=False,
    )


class ReadingInfo(Struct):
    """One figure of a probe."""

    value: float | None = kept(
        "the figure", "as in `unit`", null="it is not known; `reason` has the cause"
    )
    unit: str = kept("`s`, `bytes`, `J`; empty for a count")
    reason: str = scrubbed("why there is no value, in words; else empty", default="")
    quality: str = scrubbed(
        "how far the value can be trusted, where that is not fully: flags as listed below, "
        "joined by commas; else empty",
        default="",
    )


class MeterResult(Struct):
    """What probes read around the timed samples of one worker.

    Probes look before the first sample and after the last. The journal's writes lie in between.
    """

    round: int = kept("the round")
    attempt: int = kept("the attempt")
    audio_s: float = kept("audio that was transcribed in between, retaken samples included")
    wall_s: float = kept("from the first sample's start to the last one's end")
    readings: dict[str, ReadingInfo] = inside("what was read, by name; see *Names of readings*")
