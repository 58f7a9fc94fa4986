"""The document of a comparison of two runs, as ``speedtest compare`` prints it as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.printable import escaped_json
from mac_whisper_speedtest.results.schema.base import Struct
from mac_whisper_speedtest.stats.intervals import Interval

SCHEMA_VERSION = 1

COMPARED, MISSING, ADDED, UNMATCHED = "compared", "missing", "added", "unmatched"
FAILED, FIXED, FAILED_IN_BOTH = "failed", "fixed", "failed in both"
"""What became of a cell."""


class RunInfo(Struct, frozen=True, kw_only=True):
    """One of the two runs."""

    label: Annotated[str, Doc("its number here, or the name of its folder or bundle")]
    run: Annotated[int, Doc("its number where it was made")]
    run_id: Annotated[str, Doc("as in `Manifest`")]
    tags: Annotated[list[str], Doc("as in `Manifest`")]
    started_at: Annotated[str, Doc("as in `Manifest`")]
    tool: Annotated[str, Doc("the version of the tool that measured")]
    state: Annotated[str, Doc("as in `Outcome`")]


class FactChange(Struct, frozen=True, kw_only=True):
    """One fact of both runs, as text."""

    name: Annotated[str, Doc("of a condition as in `ConditionsInfo`; `canary_s`; else in words")]
    unit: Annotated[str, Doc("of numbers; else empty")]
    base: Annotated[
        str | None,
        Doc(
            "the value as text; of a condition the median and, in brackets, the range; of words "
            "all that occurred",
            null="not known",
        ),
    ]
    new: Annotated[str | None, Doc("likewise", null="likewise")]
    differs: Annotated[
        bool, Doc("whether the two ranges have nothing in common, or other words occurred")
    ]


class RatioInfo(Struct, frozen=True, kw_only=True):
    """New ÷ base and its interval."""

    estimate: Annotated[float, Doc("new ÷ base")]
    low: Annotated[float, Doc("the interval's lower end")]
    high: Annotated[float, Doc("its upper end")]
    level: Annotated[float, Doc("the confidence with which it covers")]

    @classmethod
    def of(cls, ratio: Interval | None) -> RatioInfo | None:
        """An interval of a ratio for the document."""
        if ratio is None:
            return None
        return cls(estimate=ratio.estimate, low=ratio.low, high=ratio.high, level=ratio.level)

    def __format__(self, form: str) -> str:
        """Its interval, as ``1.02–1.17``."""
        return f"{self.low:{form or '.3f'}}–{self.high:{form or '.3f'}}"


class SideSpeed(Struct, frozen=True, kw_only=True):
    """Processing seconds per audio second (RTF) of a cell in one run."""

    rtf: Annotated[float, Doc("median over rounds", unit="s/s")]
    rounds: Annotated[list[float], Doc("RTF of every round that counts", unit="s/s")]
    processor: Annotated[
        float | None,
        Doc(
            "processor seconds of the worker's tree per second of audio",
            unit="s/s",
            null="the system does not report it",
        ),
    ]


class SpeedChange(Struct, frozen=True, kw_only=True):
    """Its speed, before and after."""

    base: Annotated[SideSpeed, Doc("in the base")]
    new: Annotated[SideSpeed, Doc("in the new run")]
    ratio: Annotated[
        RatioInfo | None, Doc("time new ÷ base", null="a side has fewer than three rounds")
    ]
    verdict: Annotated[str, Doc("`FASTER`, `SLOWER`, `SAME` or `AMBIGUOUS`")]
    why: Annotated[str, Doc("what a reader must know of it; may be empty")]


class AccuracyChange(Struct, frozen=True, kw_only=True):
    """How accurate the texts are, before and after."""

    metric: Annotated[
        str | None,
        Doc(
            "`wer` or `cer`",
            null="there is no reference text, or a bundle's texts were left out",
        ),
    ]
    base_rate: Annotated[float | None, Doc("corpus error rate", unit="fraction", null="likewise")]
    base_low: Annotated[
        float | None,
        Doc("lower end of its 95 % interval", unit="fraction", null="likewise, or too few words"),
    ] = None
    base_high: Annotated[float | None, Doc("upper end", unit="fraction", null="likewise")] = None
    new_rate: Annotated[float | None, Doc("corpus error rate", unit="fraction", null="likewise")]
    new_low: Annotated[
        float | None, Doc("lower end of its interval", unit="fraction", null="likewise")
    ] = None
    new_high: Annotated[float | None, Doc("upper end", unit="fraction", null="likewise")] = None
    delta: Annotated[float | None, Doc("new minus base", unit="fraction", null="it was not judged")]
    low: Annotated[
        float | None,
        Doc(
            "the interval's lower end",
            unit="fraction",
            null="it was not judged, or by too few words",
        ),
    ]
    high: Annotated[float | None, Doc("its upper end", unit="fraction", null="likewise")]
    verdict: Annotated[str, Doc("`as good`, `worse`, `unclear`; empty where it was not judged")]
    how: Annotated[str, Doc("how it was judged, or why not")]


class TextChange(Struct, frozen=True, kw_only=True):
    """Whether both runs gave the same words, right or wrong."""

    recordings: Annotated[int, Doc("how many there are")]
    same: Annotated[int, Doc("how many have the same text to the letter")]
    metric: Annotated[
        str | None,
        Doc("`wer`: words are counted; `cer`: characters", null="no recording has a text in both"),
    ]
    changed: Annotated[
        float | None,
        Doc(
            "of the base's words, how many are others, missing or added",
            unit="fraction",
            null="likewise, or the base's texts have no words",
        ),
    ]


class QuantityChange(Struct, frozen=True, kw_only=True):
    """Memory, energy or loading, before and after."""

    kind: Annotated[str, Doc("`memory`, `energy` or `load`")]
    name: Annotated[
        str,
        Doc(
            "`peak RSS`, `peak footprint` (macOS), `allocator peak`, `device memory`, `energy`, "
            "`load`"
        ),
    ]
    unit: Annotated[str, Doc("`byte`, `J/h of audio`, `s`")]
    base: Annotated[
        float | None, Doc("median over processes", unit="as in `unit`", null="it was not measured")
    ]
    new: Annotated[float | None, Doc("likewise", unit="as in `unit`", null="likewise")]
    ratio: Annotated[RatioInfo | None, Doc("new ÷ base", null="a side was not measured")]
    margin: Annotated[float, Doc("the least difference that counts", unit="fraction")]
    verdict: Annotated[
        str, Doc("`MORE`, `LESS`, `SAME`, `AMBIGUOUS`; empty where a side was not measured")
    ]
    reason: Annotated[str, Doc("why there is no verdict; else empty")]


class CellSide(Struct, frozen=True, kw_only=True):
    """A cell as one run has it."""

    backend: Annotated[str, Doc("as the run names it")]
    version: Annotated[str | None, Doc("as the worker reported it", null="no worker got ready")]
    precision: Annotated[str | None, Doc("the effective one", null="likewise")]
    status: Annotated[str, Doc("as in `CellResult`")]


class CellChange(Struct, frozen=True, kw_only=True):
    """One cell in both runs, or in one of them."""

    label: Annotated[
        str,
        Doc(
            "`backend`; where another cell of the comparison has the same, with the version that "
            "was requested, or a number"
        ),
    ]
    backend: Annotated[str, Doc("the backend without a version, with its precision")]
    model: Annotated[str, Doc("canonical model name")]
    clip: Annotated[str, Doc("the name of the recording or set")]
    audio_s: Annotated[float, Doc("its length", unit="s")]
    state: Annotated[
        str,
        Doc(
            "`compared`: it ended ok in both runs; `failed`: in the base only; `fixed`: in "
            "the new run only; `failed in both`; `missing`: the new run does not have it; `added`: "
            "the base does not have it; `unmatched`: one run has several versions of it, and it is "
            "not clear which one is meant"
        ),
    ]
    base: Annotated[CellSide | None, Doc("in the base", null="the base has no such cell")]
    new: Annotated[CellSide | None, Doc("in the new run", null="the new run has no such cell")]
    message: Annotated[str, Doc("why it is not compared; may be empty")]
    speed: Annotated[SpeedChange | None, Doc("its speed", null="it is not compared")] = None
    accuracy: Annotated[
        AccuracyChange | None,
        Doc("how accurate it is", null="it is not compared, or the speech differs"),
    ] = None
    texts: Annotated[
        TextChange | None,
        Doc("whether the words are the same", null="likewise, or a bundle's texts were left out"),
    ] = None
    quantities: Annotated[
        list[QuantityChange], Doc("memory, energy, loading; empty where it is not compared")
    ] = msgspec.field(default_factory=list)
    changes: Annotated[
        list[FactChange],
        Doc(
            "version, libraries, device, precision, weights and effective settings: only what "
            "differs"
        ),
    ] = msgspec.field(default_factory=list)

    @property
    def name(self) -> str:
        """What messages call it; unique in its comparison."""
        return f"{self.label} {self.model} on {self.clip}"


class Regression(Struct, frozen=True, kw_only=True):
    """Something to fail on."""

    cell: Annotated[str, Doc("backend, model and speech")]
    kind: Annotated[
        str, Doc("`slower`, `wrong`, `changed`, `unclear`, `memory`, `energy`, or `failed`")
    ]
    message: Annotated[str, Doc("in words")]


class Compared(Struct, frozen=True, kw_only=True):
    """Two runs compared."""

    schema_version: Annotated[int, Doc("version of this document: 1")]
    base: Annotated[RunInfo, Doc("what is compared with")]
    new: Annotated[RunInfo, Doc("what is judged")]
    differences: Annotated[
        list[str], Doc("why the two should not be compared; empty unless `--anyway`")
    ]
    margin: Annotated[float, Doc("the least difference in speed that counts", unit="fraction")]
    margin_from: Annotated[str, Doc("where that comes from, in words")]
    level: Annotated[float, Doc("the confidence of all intervals of speed together")]
    machine: Annotated[
        RatioInfo | None,
        Doc(
            "how many times as long the canary took in the new run, at 95 %",
            null="one of the runs has fewer than three canaries",
        ),
    ]
    cells: Annotated[
        list[CellChange],
        Doc(
            "the new run's in their order, then those of the base that it does not have, then "
            "those that the base does not have"
        ),
    ]
    conditions: Annotated[list[FactChange], Doc("the state of the machine around the rounds")]
    facts: Annotated[
        list[FactChange], Doc("tool, system, request and libraries: only what differs")
    ]
    findings: Annotated[list[str], Doc("what a reader must know of the whole")]
    fail_on: Annotated[list[str], Doc("what `--fail-on` named")] = msgspec.field(
        default_factory=list
    )
    regressions: Annotated[list[Regression], Doc("what was found of it")] = msgspec.field(
        default_factory=list
    )
    undecided: Annotated[
        list[Regression],
        Doc("what of it cannot be decided, and what to do about that; it fails nothing"),
    ] = msgspec.field(default_factory=list)


def to_json(value: Struct) -> str:
    """A document as JSON for people: indented, with one newline at its end."""
    return escaped_json(msgspec.json.format(msgspec.json.encode(value).decode(), indent=2)) + "\n"


# The document of one cell over time, as ``speedtest history`` prints it as JSON.


class Point(Struct, frozen=True, kw_only=True):
    """The cell's figures in one run."""

    run: Annotated[int, Doc("its number here")]
    run_id: Annotated[str, Doc("as in `Manifest`")]
    tags: Annotated[list[str], Doc("as in `Manifest`")]
    started_at: Annotated[str, Doc("as in `Manifest`; orders nothing")]
    tool: Annotated[str, Doc("the version of the tool that measured")]
    backend: Annotated[str, Doc("as the run names it")]
    backend_version: Annotated[
        str | None, Doc("as the worker reported it", null="no worker got ready")
    ]
    rtf: Annotated[float, Doc("median over rounds", unit="s/s")]
    rtfx: Annotated[float, Doc("its inverse")]
    rtfx_low: Annotated[
        float | None, Doc("the lower end of its interval", null="from too few rounds")
    ]
    rtfx_high: Annotated[float | None, Doc("the upper end", null="likewise")]
    rounds: Annotated[int, Doc("rounds that ended `ok`")]
    wer: Annotated[
        float | None, Doc("word error rate", unit="fraction", null="as `wer` of `Summary`")
    ]
    wer_low: Annotated[
        float | None,
        Doc("lower end of its 95 % interval", unit="fraction", null="likewise, or too few words"),
    ] = None
    wer_high: Annotated[float | None, Doc("upper end", unit="fraction", null="likewise")] = None
    peak_memory_bytes: Annotated[
        int | None, Doc("as in `Summary`", unit="byte", null="no sample has it")
    ]
    peak_memory_kind: Annotated[str, Doc("as in `Summary`")]


class LastingChange(Struct, frozen=True, kw_only=True):
    """A change that lasts."""

    run: Annotated[int, Doc("the first run after the change")]
    before: Annotated[int, Doc("the run before it")]
    verdict: Annotated[str, Doc("`FASTER` or `SLOWER`")]
    ratio: Annotated[
        RatioInfo,
        Doc(
            "time after ÷ time before, up to the neighboring changes. The same runs chose the "
            "place, so it is somewhat too far from 1"
        ),
    ]
    p: Annotated[float, Doc("how often these runs in random order look as much like a change")]
    facts: Annotated[list[FactChange], Doc("what else is different between the two runs")]


class Series(Struct, frozen=True, kw_only=True):
    """Runs of one cell that compare with each other, in order of their numbers."""

    backend: Annotated[
        str,
        Doc("the backend without a version; with it, where the runs have several versions each"),
    ]
    model: Annotated[str, Doc("canonical model name")]
    clip: Annotated[str, Doc("the name of the speech in the newest run")]
    contract: Annotated[str, Doc("the contract's name")]
    hardware: Annotated[str, Doc("the kind of machine")]
    comparable: Annotated[str, Doc("equal for equal contract, speech and kind of machine")]
    network_sha256: Annotated[
        str | None, Doc("identity of the network", null="no weights are known")
    ]
    settings: Annotated[str, Doc("threads, device and what else was requested")]
    margin: Annotated[
        float, Doc("changes of less are none: the margin of the newest run", unit="fraction")
    ]
    points: Annotated[list[Point], Doc("in the order of run numbers")]
    changes: Annotated[list[LastingChange], Doc("in the order of run numbers")]


class History(Struct, frozen=True, kw_only=True):
    """Every series of a backend."""

    schema_version: Annotated[int, Doc("version of this document: 1")]
    backend: Annotated[str, Doc("the backend that was asked for")]
    limit: Annotated[int, Doc("how many runs of a series are in it at most: the newest")]
    left_out: Annotated[
        int, Doc("cells of it that were not `ok`, or that their run measured a second time")
    ]
    series: Annotated[list[Series], Doc("those with the newest run first")]
