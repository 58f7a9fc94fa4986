"""From a manifest and a journal to a run: a pure function, used to seal and to recover alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from mac_whisper_speedtest.backends.contract import (
    OWN_LANGUAGE,
    SETTING_NAMES,
    DecodeContract,
    SettingValue,
    deviations,
)
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.request import first_rounds
from mac_whisper_speedtest.results import schema as s

_SETTINGS = {"name", *SETTING_NAMES}

_Result = TypeVar("_Result", bound=s.Struct)
_Cell = TypeVar("_Cell", s.Loaded, s.Effective, s.Sample, s.Metered)

_OF_A_CELL = (
    s.WorkerStarted,
    s.Loaded,
    s.Effective,
    s.Sample,
    s.Metered,
    s.WorkerEnded,
    s.RoundSkipped,
)


def assemble(
    manifest: s.Manifest,
    events: Sequence[s.Event],
    *,
    note: str = "",
    running: bool = False,
) -> s.Run:
    """The run that these events tell of, without summaries.

    A worker without an ending was interrupted; its cell is ``skipped`` with what was
    measured kept. Without a last line the run's state is ``recovered``.

    Args:
        manifest: of the run.
        events: of its journal, in order.
        note: added to the outcome's message.
        running: whether a tool still writes the journal.
    """
    ended = end_of(events)
    outcome = (
        s.Outcome(state=ended.state, message=ended.message)
        if ended is not None
        else s.Outcome(state="running")
        if running
        else s.Outcome(state="recovered", message="the tool ended without sealing it")
    )
    if note:
        message = f"{outcome.message}; {note}" if outcome.message else note
        outcome = s.Outcome(state=outcome.state, message=message)
    sealed = msgspec.structs.replace(manifest, outcome=outcome)
    clips = {clip.name: clip for clip in manifest.clips}
    decisions = [
        _plain(event, s.DecisionResult) for event in events if isinstance(event, s.Decided)
    ]
    rounds = [_plain(event, s.RoundResult) for event in events if isinstance(event, s.RoundWatched)]
    # Sorted out once: a run may have many cells, and a journal many thousand lines.
    own: defaultdict[str, list[s.Event]] = defaultdict(list)
    for event in events:
        if isinstance(event, _OF_A_CELL):
            own[event.cell].append(event)
    return s.Run(
        schema_version=s.SCHEMA_VERSION,
        manifest=sealed,
        cells=[
            _cell(sealed, plan, clips[plan.clip], own[plan.id], decisions)
            for plan in manifest.cells
        ],
        rounds=rounds,
        decisions=decisions,
    )


def end_of(events: Sequence[s.Event]) -> s.RunEnded | None:
    """How the run ended: the last such line that no later session has taken up again."""
    for event in reversed(events):
        if isinstance(event, s.RunEnded):
            return event
        if isinstance(event, s.Resumed):
            break
    return None


def _cell(
    manifest: s.Manifest,
    plan: s.CellPlan,
    clip: s.ClipInfo,
    events: Sequence[s.Event],
    decisions: Sequence[s.DecisionResult],
) -> s.CellResult:
    loads = _of(events, s.Loaded)
    samples = _of(events, s.Sample)
    endings = _endings(events)
    return s.CellResult(
        id=plan.id,
        backend=_backend(plan, loads),
        model=s.ModelResult(name=plan.model, info=plan.model_info, weights=plan.weights),
        clip=clip,
        contract=_contract(manifest.request.contract, plan.declared, _of(events, s.Effective)),
        status=_status(manifest, plan, endings, samples, decisions),
        endings=endings,
        loads=[_plain(load, s.LoadResult) for load in loads],
        samples=[_plain(sample, s.SampleResult) for sample in samples],
        meters=[_plain(each, s.MeterResult) for each in _of(events, s.Metered)],
    )


def _of(events: Sequence[s.Event], kind: type[_Cell]) -> list[_Cell]:
    return [event for event in events if isinstance(event, kind)]


def _backend(plan: s.CellPlan, loads: Sequence[s.Loaded]) -> s.BackendResult:
    last = loads[-1] if loads else None
    return s.BackendResult(
        name=plan.backend,
        version=last.version if last else None,
        versions=last.versions if last else {},
        device=last.device if last else None,
        precision=last.precision if last else None,
        details=last.details if last else {},
    )


def _contract(
    requested: Mapping[str, SettingValue],
    declared: Mapping[str, SettingValue],
    reports: Sequence[s.Effective],
) -> s.ContractResult:
    """The contract against every report: a deviation in any round counts."""
    # Only the settings this version knows: a file of a newer one may have more.
    known = {name: value for name, value in requested.items() if name in _SETTINGS}
    asked = DecodeContract(**known)  # type: ignore[arg-type]
    found: dict[tuple[str, str], s.DeviationResult] = {}
    effective: dict[str, SettingValue] = {}
    for values in _in_one_language(asked, reports):
        effective = values
        for each in deviations(asked, values):
            found[each.setting, repr(each.effective)] = s.DeviationResult(
                setting=each.setting, requested=each.requested, effective=each.effective
            )
    last = reports[-1] if reports else None
    return s.ContractResult(
        requested=dict(requested),
        effective=effective,
        observed=last.observed if last else [],
        deviations=list(found.values()),
        remarks=last.remarks if last else [],
        declared=dict(declared),
    )


def _in_one_language(
    asked: DecodeContract, reports: Sequence[s.Effective]
) -> list[dict[str, SettingValue]]:
    """The settings of every report, in one contract's terms for recordings in several languages.

    A language that is the recording's own is `OWN_LANGUAGE`, where that was asked for, or where it
    was left to the library and is not the same for all. Reports of any other language come last.
    """
    used = {report.values.get("language") for report in reports}
    if asked.language != OWN_LANGUAGE and (asked.language is not None or len(used) < 2):
        return [report.values for report in reports]
    own, other = [], []
    for report in reports:
        if report.language is not None and report.values.get("language") == report.language:
            own.append({**report.values, "language": OWN_LANGUAGE})
        else:
            other.append(report.values)
    return [*own, *other]


def _endings(events: Sequence[s.Event]) -> list[s.EndingResult]:
    """Every ending and every skipped round, in the order they happened, and those cut off.

    There is one worker at a time: a later event shows that a worker without an ending is gone.
    """
    endings: list[s.EndingResult] = []
    running: s.WorkerStarted | None = None
    for event in events:
        if running is not None and isinstance(event, s.WorkerStarted | s.RoundSkipped):
            endings.append(_cut_off(running))
            running = None
        if isinstance(event, s.WorkerStarted):
            running = event
        elif isinstance(event, s.WorkerEnded):
            running = None
            endings.append(_plain(event, s.EndingResult))
        elif isinstance(event, s.RoundSkipped):
            endings.append(_not_run(event.round, event.status, event.error_class, event.message))
    if running is not None:
        endings.append(_cut_off(running))
    return endings


def _cut_off(worker: s.WorkerStarted) -> s.EndingResult:
    ending = _not_run(worker.round, "skipped", ErrorClass.INTERRUPTED, "interrupted while it ran")
    return msgspec.structs.replace(ending, attempt=worker.attempt)


def _not_run(number: int, status: str, error_class: str, message: str) -> s.EndingResult:
    return s.EndingResult(
        round=number,
        attempt=None,
        status=status,
        stage="",
        error_class=error_class,
        message=message,
        log_tail="",
        exit_code=None,
    )


def _status(
    manifest: s.Manifest,
    plan: s.CellPlan,
    endings: Sequence[s.EndingResult],
    samples: Sequence[s.Sample],
    decisions: Sequence[s.DecisionResult],
) -> str:
    """``ok`` when every planned round ended well or was rightly left out, else what went wrong.

    A backend that answers every recording of a set with an error has failed, although its workers
    ended well.

    Where a round was tried again, its last attempt counts here; the others stay in ``endings``.
    """
    last_of_round = {ending.round: ending for ending in endings}
    bad = [ending.status for ending in last_of_round.values() if ending.status != "ok"]
    worse = [status for status in bad if status != "skipped"]
    if worse:
        return worse[0]
    timed = [sample for sample in samples if sample.kind == "timed"]
    if timed and all(sample.failed for sample in timed):
        return "failed"
    planned = _due_rounds(plan.id, manifest, decisions)
    there = sum(number < len(manifest.schedule) for number in last_of_round)
    return "skipped" if bad or there < planned else "ok"


def rounds_requested(cell: str, manifest: s.Manifest, decisions: Sequence[s.DecisionResult]) -> int:
    """The rounds of a cell that were requested: by the stopping rule, once it has decided."""
    if not decisions:
        return first_rounds(manifest.request)
    return _due_rounds(cell, manifest, decisions)


def _due_rounds(cell: str, manifest: s.Manifest, decisions: Sequence[s.DecisionResult]) -> int:
    """The planned rounds in which this cell was due, by the stopping rule if there is one."""
    return sum(
        cell in visit and _was_due(cell, number, decisions)
        for number, visit in enumerate(manifest.schedule)
    )


def _was_due(cell: str, number: int, decisions: Sequence[s.DecisionResult]) -> bool:
    before = [each for each in decisions if each.after <= number]
    return not before or (cell in before[-1].cells and number < before[-1].until)


def _plain(event: s.Struct, kind: type[_Result]) -> _Result:
    """A journal line without what only the journal needs."""
    return msgspec.convert(event, kind, from_attributes=True)
