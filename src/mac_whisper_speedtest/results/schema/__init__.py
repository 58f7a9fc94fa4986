"""What is written down: the manifest, the journal's lines, and the sealed run. Version 3.

Raw facts only. Every median, word error rate and rank is computed from them by ``scoring`` and can
be computed again. docs/results.md documents each field for readers of the files. This module has
all of the schema's names; those that are not written here come from the modules beside it.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.results.schema.journal import (
    LOAD_COLD,
    LOAD_FRESH,
    LOAD_WARM,
    ConditionsInfo,
    Decided,
    DecisionResult,
    Effective,
    EndingResult,
    Event,
    Loaded,
    LoadResult,
    Metered,
    MeterResult,
    ReadingInfo,
    Resumed,
    RoundResult,
    RoundSkipped,
    RoundWatched,
    RunEnded,
    Sample,
    SampleResult,
    SegmentInfo,
    WorkerEnded,
    WorkerStarted,
)
from mac_whisper_speedtest.results.schema.manifest import (
    CellPlan,
    ClipInfo,
    LeftOutInfo,
    MachineInfo,
    Manifest,
    NoiseInfo,
    Outcome,
    RequestInfo,
    Struct,
    ToolInfo,
    UtteranceInfo,
    WeightsInfo,
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
    "AccuracyResult",
    "BackendResult",
    "Bounds",
    "BreakEven",
    "CellPlan",
    "CellResult",
    "ClipInfo",
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
    "ToolInfo",
    "UtteranceInfo",
    "UtteranceScore",
    "WeightsInfo",
    "WorkerEnded",
    "WorkerStarted",
]

SCHEMA_VERSION = 3


class BackendResult(Struct, frozen=True, kw_only=True):
    """The backend as it was found: version, device and precision as observed."""

    name: str
    version: str | None
    versions: dict[str, str]
    device: str | None
    precision: str | None
    details: dict[str, str]


class ModelResult(Struct, frozen=True, kw_only=True):
    """The model, and the weights that were really used."""

    name: str
    weights: WeightsInfo | None


class DeviationResult(Struct, frozen=True, kw_only=True):
    """One setting in which other work was done than the contract asks for."""

    setting: str
    requested: SettingValue
    effective: SettingValue


class ContractResult(Struct, frozen=True, kw_only=True):
    """What was asked for, what was done, and where the two differ."""

    requested: dict[str, SettingValue]
    effective: dict[str, SettingValue]
    observed: list[str]
    deviations: list[DeviationResult]
    remarks: list[str]
    declared: dict[str, SettingValue] = {}


class CellResult(Struct, frozen=True, kw_only=True):
    """One cell of the sealed run."""

    id: str
    backend: BackendResult
    model: ModelResult
    clip: ClipInfo
    contract: ContractResult
    status: str
    endings: list[EndingResult]
    loads: list[LoadResult]
    samples: list[SampleResult]
    meters: list[MeterResult] = []
    summary: Summary | None = None


class DigestsInfo(Struct, frozen=True, kw_only=True):
    """SHA-256 over canonical JSON, as :mod:`~mac_whisper_speedtest.results.journal` defines it.

    ``manifest`` is over ``manifest.json``; ``journal`` over the lines of ``journal.jsonl``, each
    with a newline; ``run`` over this file without its digests.
    """

    manifest: str
    journal: str
    run: str


class Run(Struct, frozen=True, kw_only=True):
    """A sealed run: the whole of ``run.json``."""

    schema_version: int
    manifest: Manifest
    cells: list[CellResult]
    rounds: list[RoundResult] = []
    decisions: list[DecisionResult] = []
    digests: DigestsInfo | None = None
