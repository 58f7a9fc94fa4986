"""Two runs, cell by cell: what changed in speed, accuracy, memory and energy."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from mac_whisper_speedtest.compare import accuracy, facts, match, quantities, sources, speed
from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import distinct, without_version
from mac_whisper_speedtest.stats import intervals, ranking
from mac_whisper_speedtest.summary import ranking as ranking_module
from mac_whisper_speedtest.summary import samples

_OK = "ok"
_TIMES = (
    "The runs were measured at different times, so changes of the machine are part of every "
    "difference. To compare two versions more precisely, measure both in one run: "
    "speedtest run -b NAME@OLD -b NAME@NEW"
)


def compare(
    base: RunSource, new: RunSource, *, margin: float | None = None, anyway: bool = False
) -> d.Compared:
    """Compare every cell that two runs have in common.

    Args:
        base: the run to compare with.
        new: the run to judge.
        margin: smaller relative differences in speed do not count; ``None`` takes the larger of
            the margins by which the two runs were ranked.
        anyway: also compare runs with different contracts, speech, networks or machines.

    Raises:
        UsageError: the runs cannot be compared, are the same run, or have no cell in common.
    """
    if sources.same(base.run.manifest, new.run.manifest):
        raise UsageError(
            f"nothing to compare: both names are run {new.label}",
            hint="a tag names the newest run that has it; all runs: speedtest results list",
        )
    differences = comparable.differences(base.run.manifest, new.run.manifest)
    if differences and not anyway:
        raise UsageError(
            f"{base.label} and {new.label} cannot be compared: " + "; ".join(differences),
            hint="to show them side by side anyway, add --anyway",
        )
    absent = _not_installed(base.run) & _not_installed(new.run)
    matched = match.match(
        [cell for cell in base.run.cells if _name(cell) not in absent],
        [cell for cell in new.run.cells if _name(cell) not in absent],
        any_speech=bool(differences),
    )
    if not matched.pairs:
        raise UsageError(
            f"{base.label} and {new.label} have no backend and model in common: "
            f"{_named(base.run.cells)} and {_named(new.run.cells)}",
            hint="compare runs of the same backends",
        )
    least, least_from = _margin(base.run, new.run, margin)
    machine = speed.machine(base.run, new.run)
    states = [_state(base.run, before, new.run, after) for before, after in matched.pairs]
    sound = [pair for pair, state in zip(matched.pairs, states, strict=True) if state == d.COMPARED]
    speeds = speed.compare(base.run, new.run, sound, margin=least, machine=machine)
    return d.Compared(
        schema_version=d.SCHEMA_VERSION,
        base=_info(base),
        new=_info(new),
        differences=differences,
        margin=least,
        margin_from=least_from,
        level=intervals.LEVEL,
        machine=d.RatioInfo.of(machine),
        cells=_labeled(
            [
                *(
                    _in_both(before, after, state, speeds.get(after.id))
                    for (before, after), state in zip(matched.pairs, states, strict=True)
                ),
                *(_in_one(each, matched.only_new, in_base=True) for each in matched.only_base),
                *(_in_one(each, matched.only_base, in_base=False) for each in matched.only_new),
            ]
        ),
        conditions=facts.conditions(base.run, new.run),
        facts=facts.of_manifests(base.run.manifest, new.run.manifest),
        findings=[*_findings(base.run, new.run, margin), *_left_out(absent)],
    )


def _labeled(cells: Sequence[d.CellChange]) -> list[d.CellChange]:
    """Each cell with a label that is unique for its model and clip.

    Two versions of a backend in one run are labeled as requested. Cells of a backend that is in a
    run twice, as in ``speedtest noise``, are numbered.
    """
    variants = {}
    for number, cell in enumerate(cells, start=1):
        work = f" {cell.model} on {cell.clip}"
        side = cell.new or cell.base
        requested = side.backend if side else cell.backend
        texts = (cell.backend, requested, f"{requested} ({number})")
        variants[number] = [f"{text}{work}" for text in texts]
    names = distinct(variants)
    return [
        msgspec.structs.replace(
            cell, label=names[number].removesuffix(f" {cell.model} on {cell.clip}")
        )
        for number, cell in enumerate(cells, start=1)
    ]


def _not_installed(run: s.Run) -> set[tuple[str, str]]:
    """Backends and models that were not requested by name and could not be tried."""
    if run.manifest.request.backends_named:
        return set()
    return {_name(cell) for cell in run.cells if cell.status == "unavailable"}


def _name(cell: s.CellResult) -> tuple[str, str]:
    return without_version(cell.backend.name), cell.model.name


def _left_out(absent: Collection[tuple[str, str]]) -> list[str]:
    names = ", ".join(sorted({backend for backend, _ in absent}))
    return [f"Left out, because neither run had them installed: {names}."] if names else []


def _state(base_run: s.Run, base: s.CellResult, new_run: s.Run, new: s.CellResult) -> str:
    """The state of a cell that both runs have."""
    before, after = _measured(base_run, base), _measured(new_run, new)
    if before and after:
        return d.COMPARED
    if before or after:
        return d.FAILED if before else d.FIXED
    return d.FAILED_IN_BOTH


def _measured(run: s.Run, cell: s.CellResult) -> bool:
    """Whether the cell has times and ended ok, or its run goes on and it has not failed so far."""
    outcome = run.manifest.outcome
    going_on = outcome is not None and outcome.state == "running"
    sound = cell.status == _OK or (going_on and all(end.status == _OK for end in cell.endings))
    return sound and bool(samples.round_rtf(cell, run.rounds))


def _cell(
    base: s.CellResult | None, new: s.CellResult | None, state: str, message: str = ""
) -> d.CellChange:
    """A cell without any comparison; at least one side is given."""
    shown = new or base
    assert shown is not None
    return d.CellChange(
        label="",
        backend=without_version(shown.backend.name),
        model=shown.model.name,
        clip=shown.clip.name,
        audio_s=shown.clip.seconds,
        state=state,
        base=_side(base) if base else None,
        new=_side(new) if new else None,
        message=message,
    )


def _side(cell: s.CellResult) -> d.CellSide:
    return d.CellSide(
        backend=cell.backend.name,
        version=cell.backend.version,
        precision=cell.backend.precision,
        status=cell.status,
    )


def _in_both(
    base: s.CellResult, new: s.CellResult, state: str, speed_change: d.SpeedChange | None
) -> d.CellChange:
    if state != d.COMPARED:
        return _cell(base, new, state, _message(base if state == d.FIXED else new))
    # Texts of different speech cannot be compared.
    same_speech = base.clip.pcm_sha256 == new.clip.pcm_sha256
    accuracy_change = accuracy.accuracy_change(base, new) if same_speech else None
    changes = facts.of_cells(base, new)
    return msgspec.structs.replace(
        _cell(base, new, state),
        speed=_with_why(speed_change, accuracy_change, changes) if speed_change else None,
        accuracy=accuracy_change,
        texts=accuracy.text_change(base, new) if same_speech else None,
        quantities=quantities.compare(base, new),
        changes=changes,
    )


def _with_why(
    change: d.SpeedChange, accuracy: d.AccuracyChange | None, changes: Sequence[d.FactChange]
) -> d.SpeedChange:
    """The speed with everything that qualifies its verdict."""
    reasons = [change.why] if change.why else []
    other = [
        each.name.removeprefix(facts.SETTING)
        for each in changes
        if each.name.startswith(facts.SETTING)
    ]
    if other:
        reasons.append(f"the two runs did different work ({', '.join(other)})")
    if accuracy is not None and accuracy.verdict == "worse":
        reasons.append("its texts are wrong now, so its speed is no gain")
    return msgspec.structs.replace(change, why="; ".join(reasons))


def _in_one(
    cell: s.CellResult, elsewhere: Sequence[s.CellResult], *, in_base: bool
) -> d.CellChange:
    """A cell without a partner; ``elsewhere`` are the cells without one in the other run."""
    namesakes = [other.backend.name for other in elsewhere if _name(other) == _name(cell)]
    state, message = d.MISSING if in_base else d.ADDED, ""
    if namesakes:
        state = d.UNMATCHED
        message = (
            f"{cell.backend.name} could be compared with any of {', '.join(namesakes)}: name one "
            "version per run"
        )
    return _cell(cell if in_base else None, None if in_base else cell, state, message)


def _message(cell: s.CellResult) -> str:
    """Why a cell has nothing to compare: the message of the first ending with its status."""
    if cell.status == _OK:
        return "no recording gave a text"
    first = next((end for end in cell.endings if end.status == cell.status and end.message), None)
    return f"{cell.status}: {first.message}" if first else cell.status


def _margin(base: s.Run, new: s.Run, requested: float | None) -> tuple[float, str]:
    """The difference that speeds must exceed, and where it comes from."""
    if requested is not None:
        return requested, "--margin"
    sides = (("base", base), ("new", new))
    side, run = max(sides, key=lambda each: ranking_module.margin(each[1].manifest))
    margin = ranking_module.margin(run.manifest)
    if run.manifest.request.margin is not None:
        return margin, f"the --margin of the {side} run"
    if margin > ranking.MARGIN:
        return margin, f"the noise floor of the {side} run's machine"
    return margin, "the default"


def _findings(base: s.Run, new: s.Run, margin: float | None) -> list[str]:
    """Notes on the whole comparison."""
    findings = [_TIMES]
    floors = [run.manifest.noise.floor for run in (base, new) if run.manifest.noise]
    if margin is not None and floors and margin < max(floors):
        findings.append(
            f"The margin of {margin:.1%} is below the noise floor: identical cells differ by up to "
            f"{max(floors):.1%} on this machine."
        )
    if not floors:
        findings.append(
            "This machine's noise floor is unknown, so small differences may be noise; measure it "
            "with: speedtest noise"
        )
    for side, run in (("base", base), ("new", new)):
        outcome = run.manifest.outcome
        if outcome is not None and outcome.state != "complete":
            findings.append(f"The {side} run is incomplete: {outcome.message or outcome.state}.")
    return findings


def _info(source: RunSource) -> d.RunInfo:
    manifest = source.run.manifest
    return d.RunInfo(
        label=source.label,
        run=manifest.run,
        run_id=manifest.run_id,
        tags=list(manifest.tags),
        started_at=manifest.started_at,
        tool=manifest.tool.version,
        state=manifest.outcome.state if manifest.outcome else "",
    )


def _named(found: Sequence[s.CellResult]) -> str:
    return ", ".join(dict.fromkeys(f"{each.backend.name} {each.model.name}" for each in found))
