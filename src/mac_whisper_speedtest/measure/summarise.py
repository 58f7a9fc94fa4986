"""From a run's raw samples to the figures people read: pure, and done again at every look."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.scoring import accuracy, speed

_GENERIC_NAMES = {"metal": "gpu", "cuda": "gpu", "vulkan": "gpu"}

CLOCK_SLACK_S = 0.05
CLOCK_SLACK_RATIO = 0.05
"""A worker's own time and the supervisor's wall time around the same call differ by the messages
between them: well under 50 ms, seen 0.2–5 ms. More than that and 5 % of the call means that work
was done outside the worker's clock, or that its clock is wrong."""


def summarise(run: s.Run) -> s.Run:
    """The run with a summary in every cell."""
    medians = {
        cell.id: median
        for cell in run.cells
        if cell.status == "ok" and (median := _median_s(cell)) is not None
    }
    rank: dict[str, int] = {}
    for group in _groups(run.cells):
        rank |= speed.ranks({cell: medians[cell] for cell in group if cell in medians})
    cells = [
        msgspec.structs.replace(cell, summary=_summary(run, cell, medians, rank.get(cell.id)))
        for cell in run.cells
    ]
    return msgspec.structs.replace(run, cells=cells)


def _groups(cells: Iterable[s.CellResult]) -> list[list[str]]:
    """Cells that may be ranked against each other: the same model on the same clip."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in cells:
        groups[cell.model.name, cell.clip.name].append(cell.id)
    return list(groups.values())


def _timed(cell: s.CellResult) -> list[s.SampleResult]:
    """The timed samples that count: where a round was tried again, those of its last attempt."""
    last = {sample.round: sample.attempt for sample in cell.samples}
    for ending in cell.endings:
        if ending.attempt is not None:
            last[ending.round] = max(ending.attempt, last.get(ending.round, 0))
    return [
        sample
        for sample in cell.samples
        if sample.kind == "timed" and sample.attempt == last[sample.round]
    ]


def _median_s(cell: s.CellResult) -> float | None:
    by_round: defaultdict[int, list[float]] = defaultdict(list)
    for sample in _timed(cell):
        by_round[sample.round].append(sample.seconds)
    return speed.cell_median_s(by_round)


def _summary(
    run: s.Run, cell: s.CellResult, medians: dict[str, float], rank: int | None
) -> s.Summary:
    request = run.manifest.request
    timed = _timed(cell)
    seconds = [sample.seconds for sample in timed]
    median_s = _median_s(cell)
    peers = [
        medians[other.id]
        for other in run.cells
        if other.id in medians
        and (other.model.name, other.clip.name) == (cell.model.name, cell.clip.name)
    ]
    peaks = [each.peak_rss_bytes for each in cell.samples if each.peak_rss_bytes is not None]
    return s.Summary(
        rank=rank,
        timed_samples=len(timed),
        timed_samples_asked=request.rounds * request.runs,
        rounds_ok=len({end.round for end in cell.endings if _measured(end)}),
        rounds_asked=request.rounds,
        retries=sum(1 for end in cell.endings if (end.attempt or 0) > 0),
        median_s=median_s,
        min_s=min(seconds, default=None),
        max_s=max(seconds, default=None),
        rtfx=speed.rtfx(cell.clip.seconds, median_s) if median_s is not None else None,
        times_best=median_s / min(peers) if median_s and peers and min(peers) > 0 else None,
        import_s=_median(load.import_s for load in cell.loads),
        load_s=_median(load.load_s for load in cell.loads),
        first_s=_median(sample.seconds for sample in cell.samples if sample.kind == "warmup"),
        peak_rss_bytes=max(peaks, default=None),
        wer=_wer(cell, timed),
        findings=_findings(cell, timed, request),
    )


def _measured(ending: s.EndingResult) -> bool:
    return ending.status == "ok" and ending.attempt is not None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _wer(cell: s.CellResult, timed: Sequence[s.SampleResult]) -> float | None:
    """The mean over timed samples: where every text is the same, that text's word error rate."""
    reference = cell.clip.reference
    if reference is None or not timed or cell.contract.requested.get("language") != "en":
        return None
    rates = {text: accuracy.wer(reference, text) for text in {sample.text for sample in timed}}
    known = [rate for sample in timed if (rate := rates[sample.text]) is not None]
    return statistics.fmean(known) if known else None


def _findings(
    cell: s.CellResult, timed: Sequence[s.SampleResult], request: s.RequestInfo
) -> list[s.Finding]:
    found = []
    if cell.contract.deviations:
        listed = "; ".join(_deviation(each) for each in cell.contract.deviations)
        found.append(s.Finding(kind="contract", message=listed))
    device = cell.backend.device
    if device is not None and request.device not in {"auto", device, _GENERIC_NAMES.get(device)}:
        found.append(
            s.Finding(kind="device", message=f"ran on {device}, asked for {request.device}")
        )
    texts = {sample.text for sample in cell.samples}
    if len(texts) > 1:
        found.append(
            s.Finding(kind="text", message=f"{len(texts)} different texts from the same audio")
        )
    liars = [sample for sample in timed if clocks_disagree(sample.seconds, sample.wall_s)]
    if liars:
        worst = max(liars, key=lambda sample: abs(sample.wall_s - sample.seconds))
        found.append(
            s.Finding(
                kind="clock",
                message=f"reports {worst.seconds:.3f} s where {worst.wall_s:.3f} s passed: work "
                "outside its clock",
            )
        )
    late = [end.message for end in cell.endings if _measured(end) and end.message]
    found += [s.Finding(kind="exit", message=message) for message in dict.fromkeys(late)]
    asked = request.rounds * request.runs
    if cell.status == "ok" and len(timed) < asked:
        found.append(
            s.Finding(
                kind="samples",
                message=f"{len(timed)} of {asked} timed samples in the {request.max_time_s:g} s "
                "of --max-time",
            )
        )
    return found


def clocks_disagree(seconds: float, wall_s: float) -> bool:
    """Whether a worker's own time is off from the wall time by more than messages explain."""
    return abs(wall_s - seconds) > max(CLOCK_SLACK_S, CLOCK_SLACK_RATIO * wall_s)


def _deviation(each: s.DeviationResult) -> str:
    effective = "not reported" if each.effective is None else each.effective
    return f"{each.setting}: {effective} instead of {each.requested}"
