"""What is written down: the manifest, the journal's lines, and the sealed run.

Raw facts only. Every median, word error rate and rank is computed from them by ``summary`` and can
be computed again. What is known of a field is declared at it: meaning and unit, when it is null,
how it goes into a bundle, and which column of flat tables it is. docs/reference is made from that.
This module has all of the schema's names; those that are not written here come from the modules
beside it.
"""

from __future__ import annotations

from mac_whisper_speedtest.backends.contract import SettingValue
from mac_whisper_speedtest.declared import Column
from mac_whisper_speedtest.results.schema.base import Computed, Struct, fact
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
from mac_whisper_speedtest.results.schema.machine import GpuInfo, MachineInfo, NoiseInfo, ToolInfo
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
    LanguageScore,
    Summary,
    UtteranceScore,
)

SCHEMA_VERSION = 1
UNRELEASED_VERSIONS = frozenset({2, 3})
"""Versions that unreleased tools wrote, which called theirs 1; the next version is 4."""


class BackendResult(Computed):
    """The backend as the cell's last worker that got ready reported it."""

    name: str = fact(
        "the backend as it was requested, as in `CellPlan`", column=Column("backend", brief=True)
    )
    version: str | None = fact(
        "version of the backend, as its worker reports it",
        null="no worker got ready",
        column=Column("backend_version"),
    )
    versions: dict[str, str] = fact("whatever else could change a number: libraries, Python")
    device: str | None = fact(
        "the device in use, as the backend reports it",
        null="no worker got ready",
        column=Column(brief=True),
    )
    precision: str | None = fact(
        "the precision in use", null="no worker got ready", column=Column()
    )
    details: dict[str, str] = fact("further facts, such as compiled-in features")


class ModelResult(Computed):
    """The model, and the weights that were used."""

    name: str = fact("canonical name of the model", column=Column("model", brief=True))
    info: ModelRecord = fact("what is known of it, as in `CellPlan`")
    weights: WeightsInfo | None = fact("the weights handed over", null="as in `CellPlan`")


class DeviationResult(Computed):
    """One setting in which the backend did other work than the contract requests."""

    setting: str = fact("the setting's name")
    requested: SettingValue = fact(
        "what the contract asks for", null="never in a deviation: null is no demand"
    )
    effective: SettingValue = fact(
        "what was done", null="the backend did not report it; unknown does not count as equal"
    )


class ContractResult(Computed):
    """The requested settings, the effective ones, and where they differ."""

    requested: dict[str, SettingValue] = fact("the contract's `name` and settings")
    effective: dict[str, SettingValue] = fact(
        "setting → value really used, from the last report. A null in it: not known, or does not "
        "apply"
    )
    observed: list[str] = fact(
        "settings read back from the library after the call. The others are what the adapter "
        "passed in, or knows of the library"
    )
    deviations: list[DeviationResult] = fact("differences seen in any round")
    remarks: list[str] = fact("differences that no setting expresses")
    declared: dict[str, SettingValue] = fact("as in `CellPlan`", default={})


class CellResult(Computed):
    """One cell of the sealed run."""

    id: str = fact("the cell's id, `backend/model/clip`; unique in its run", column=Column("cell"))
    backend: BackendResult = fact("the backend as it was found")
    model: ModelResult = fact("the model and its weights")
    clip: ClipInfo = fact("the audio")
    contract: ContractResult = fact("what was requested, what was done")
    status: str = fact(
        "how the cell ended: one of the words under *Status*", column=Column(brief=True)
    )
    endings: list[EndingResult] = fact("one per worker and one per round not run, in order of time")
    loads: list[LoadResult] = fact(
        "one per worker that got ready; with `--cold-load` two of the first round's"
    )
    samples: list[SampleResult] = fact(
        "every transcription, in order of time, of failed workers and of disturbed samples too"
    )
    meters: list[MeterResult] = fact(
        "what probes read around the timed samples, one per worker that ended them", default=[]
    )
    summary: Summary | None = fact(
        "figures computed from the above",
        null="never in `run.json`; a program may leave it out, and compute it again",
        default=None,
    )


class DigestsInfo(Computed):
    """What the files held when the run was sealed: SHA-256, 64 hexadecimal digits.

    Over canonical JSON, but for `files`: keys sorted, no white space, UTF-8, neither NaN nor an
    infinity.
    ``speedtest results verify`` computes them again.
    """

    manifest: str = fact("of `manifest.json`")
    journal: str = fact("of the journal's whole lines, each followed by a newline")
    run: str = fact("of `run.json` without its `digests`")
    files: str = fact(
        "of the bytes of all three, of `run.json` up to its `digests`, each after its length. "
        "While no byte of them has changed, figures are read from `run.json`; empty: never",
        default="",
    )
    computed_by: str = fact(
        "version of the tool, of the schema, and a digest of the code that computed the figures: "
        "another one computes them again",
        default="",
    )


class Run(Computed):
    """A sealed run: the whole of ``run.json``."""

    schema_version: int = fact("version of the schema: 1", column=Column())
    manifest: Manifest = fact("what was known beforehand, and the outcome")
    cells: list[CellResult] = fact("one per backend, model and clip, in the order requested")
    rounds: list[RoundResult] = fact(
        "the machine around each round, in order of time; two of a round that was resumed; empty "
        "where nothing was recorded",
        default=[],
    )
    decisions: list[DecisionResult] = fact(
        "what the stopping rule decided, in order of time; empty with `--rounds` alone",
        default=[],
    )
    digests: DigestsInfo | None = fact(
        "what the files held when the run was sealed", null="not sealed", default=None
    )
