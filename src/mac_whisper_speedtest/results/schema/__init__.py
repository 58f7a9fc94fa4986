"""What is written down: the manifest, the journal's lines, and the sealed run.

Raw facts only. Every median, word error rate and rank is computed from them by ``summary`` and can
be computed again. What is known of a field is declared at it: meaning and unit, when it is null,
how it goes into a bundle, and which column of flat tables it is. docs/reference is made from that.
This module has all of the schema's names; those that are not written here come from the modules
beside it.
"""

from __future__ import annotations

from typing import Annotated

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import Column, Doc
from mac_whisper_speedtest.results.schema.base import Computed, Struct
from mac_whisper_speedtest.results.schema.journal import (
    ConditionsInfo,
    Decided,
    DecisionResult,
    Effective,
    EndingResult,
    Event,
    Loaded,
    Metered,
    Resumed,
    RoundResult,
    RoundSkipped,
    RoundWatched,
    RunEnded,
    Sample,
    WorkerEnded,
    WorkerStarted,
)
from mac_whisper_speedtest.results.schema.machine import MachineInfo, NoiseInfo, ToolInfo
from mac_whisper_speedtest.results.schema.manifest import (
    CellPlan,
    ClipInfo,
    LeftOutInfo,
    Manifest,
    ModelRecord,
    Outcome,
    RequestInfo,
    TimeoutsInfo,
    UtteranceInfo,
    WeightsInfo,
)
from mac_whisper_speedtest.results.schema.measured import (
    LOAD_COLD,
    LOAD_FRESH,
    LOAD_WARM,
    LoadResult,
    MeterResult,
    ReadingInfo,
    SampleResult,
    SegmentInfo,
)
from mac_whisper_speedtest.results.schema.summary import (
    AccuracyResult,
    Bounds,
    BreakEven,
    DurationFit,
    Finding,
    Summary,
    UtteranceScore,
)

__all__ = [
    "LOAD_COLD",
    "LOAD_FRESH",
    "LOAD_WARM",
    "SCHEMA_VERSION",
    "UNRELEASED_VERSIONS",
    "AccuracyResult",
    "BackendResult",
    "Bounds",
    "BreakEven",
    "CellPlan",
    "CellResult",
    "ClipInfo",
    "Computed",
    "ConditionsInfo",
    "ContractResult",
    "Decided",
    "DecisionResult",
    "DeviationResult",
    "DigestsInfo",
    "DurationFit",
    "Effective",
    "EndingResult",
    "Event",
    "Finding",
    "LeftOutInfo",
    "LoadResult",
    "Loaded",
    "MachineInfo",
    "Manifest",
    "MeterResult",
    "Metered",
    "ModelRecord",
    "ModelResult",
    "NoiseInfo",
    "Outcome",
    "ReadingInfo",
    "RequestInfo",
    "Resumed",
    "RoundResult",
    "RoundSkipped",
    "RoundWatched",
    "Run",
    "RunEnded",
    "Sample",
    "SampleResult",
    "SegmentInfo",
    "Struct",
    "Summary",
    "TimeoutsInfo",
    "ToolInfo",
    "UtteranceInfo",
    "UtteranceScore",
    "WeightsInfo",
    "WorkerEnded",
    "WorkerStarted",
]

SCHEMA_VERSION = 1
UNRELEASED_VERSIONS = frozenset({2, 3})
"""What tools before the first release wrote, as a version 1 of their own: the next one is 4."""


class BackendResult(Computed, frozen=True, kw_only=True):
    """The backend as the cell's last worker that got ready reported it."""

    name: Annotated[
        str,
        Doc("the backend as it was requested, as in `CellPlan`"),
        Column("backend", brief=True),
    ]
    version: Annotated[
        str | None,
        Doc("version of the backend, as its worker reports it", null="no worker got ready"),
        Column("backend_version"),
    ]
    versions: Annotated[
        dict[str, str], Doc("whatever else could change a number: libraries, Python")
    ]
    device: Annotated[
        str | None,
        Doc("the device in use, as the backend reports it", null="no worker got ready"),
        Column(brief=True),
    ]
    precision: Annotated[
        str | None, Doc("the precision in use", null="no worker got ready"), Column()
    ]
    details: Annotated[dict[str, str], Doc("further facts, such as compiled-in features")]


class ModelResult(Computed, frozen=True, kw_only=True):
    """The model, and the weights that were used."""

    name: Annotated[str, Doc("canonical name of the model"), Column("model", brief=True)]
    info: Annotated[ModelRecord, Doc("what is known of it, as in `CellPlan`")]
    weights: Annotated[WeightsInfo | None, Doc("the weights handed over", null="as in `CellPlan`")]


class DeviationResult(Computed, frozen=True, kw_only=True):
    """One setting in which the backend did other work than the contract requests."""

    setting: Annotated[str, Doc("the setting's name")]
    requested: Annotated[
        SettingValue,
        Doc("what the contract asks for", null="never in a deviation: null is no demand"),
    ]
    effective: Annotated[
        SettingValue,
        Doc("what was done", null="the backend did not report it; unknown does not count as equal"),
    ]


class ContractResult(Computed, frozen=True, kw_only=True):
    """What was requested, what was done, and where the two differ."""

    requested: Annotated[dict[str, SettingValue], Doc("the contract's `name` and settings")]
    effective: Annotated[
        dict[str, SettingValue],
        Doc(
            "setting → value really used, from the last report. A null in it: not known, or "
            "does not apply"
        ),
    ]
    observed: Annotated[
        list[str],
        Doc(
            "settings read back from the library after the call. The others are what the "
            "adapter passed in, or knows of the library"
        ),
    ]
    deviations: Annotated[list[DeviationResult], Doc("differences seen in any round")]
    remarks: Annotated[list[str], Doc("differences that no setting expresses")]
    declared: Annotated[dict[str, SettingValue], Doc("as in `CellPlan`")] = {}


class CellResult(Computed, frozen=True, kw_only=True):
    """One cell of the sealed run."""

    id: Annotated[
        str, Doc("the cell's id, `backend/model/clip`; unique in its run"), Column("cell")
    ]
    backend: Annotated[BackendResult, Doc("the backend as it was found")]
    model: Annotated[ModelResult, Doc("the model and its weights")]
    clip: Annotated[ClipInfo, Doc("the audio")]
    contract: Annotated[ContractResult, Doc("what was requested, what was done")]
    status: Annotated[
        str, Doc("how the cell ended: one of the words under *Statuses*"), Column(brief=True)
    ]
    endings: Annotated[
        list[EndingResult], Doc("one per worker and one per round not run, in order of time")
    ]
    loads: Annotated[
        list[LoadResult],
        Doc("one per worker that got ready; with `--cold-load` two of the first round's"),
    ]
    samples: Annotated[
        list[SampleResult],
        Doc(
            "every transcription, in order of time, of failed workers and of disturbed samples too"
        ),
    ]
    meters: Annotated[
        list[MeterResult],
        Doc("what probes read around the timed samples, one per worker that ended them"),
    ] = []
    summary: Annotated[
        Summary | None,
        Doc(
            "figures computed from the above",
            null="never in `run.json`; a program may leave it out, and compute it again",
        ),
    ] = None


class DigestsInfo(Computed, frozen=True, kw_only=True):
    """What the files held when the run was sealed: SHA-256, 64 hexadecimal digits.

    Over canonical JSON: keys sorted, no white space, UTF-8, neither NaN nor an infinity.
    ``speedtest results verify`` computes them again.
    """

    manifest: Annotated[str, Doc("of `manifest.json`")]
    journal: Annotated[str, Doc("of the journal's whole lines, each followed by a newline")]
    run: Annotated[str, Doc("of `run.json` without its `digests`")]


class Run(Computed, frozen=True, kw_only=True):
    """A sealed run: the whole of ``run.json``."""

    schema_version: Annotated[int, Doc("version of the schema: 1"), Column()]
    manifest: Annotated[Manifest, Doc("what was known beforehand, and the outcome")]
    cells: Annotated[
        list[CellResult], Doc("one per backend, model and clip, in the order requested")
    ]
    rounds: Annotated[
        list[RoundResult],
        Doc(
            "the machine around each round, in order of time; two of a round that was "
            "resumed; empty where nothing was recorded"
        ),
    ] = []
    decisions: Annotated[
        list[DecisionResult],
        Doc(
            "what the stopping rule decided, in order of time; empty without `--budget` and "
            "`--ci-width`"
        ),
    ] = []
    digests: Annotated[
        DigestsInfo | None, Doc("what the files held when the run was sealed", null="not sealed")
    ] = None
