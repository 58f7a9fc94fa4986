"""From a run's raw samples to the figures people read: pure, and done again at every look."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from mac_whisper_speedtest.measure import findings, grouping
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.scoring import accuracy, speed


def summarise(run: s.Run) -> s.Run:
    """The run with a summary in every cell."""
    medians = {
        cell.id: median
        for cell in run.cells
        if cell.status == "ok" and (median := _median_s(cell)) is not None
    }
    group_of = grouping.groups(run.cells, medians, strict=run.manifest.request.strict)
    cells = []
    for cell in run.cells:
        peers = {
            other.id: medians[other.id]
            for other in run.cells
            if other.id in group_of
            and group_of[other.id] == group_of.get(cell.id)
            and (other.model.name, other.clip.name) == (cell.model.name, cell.clip.name)
        }
        summary = _summary(run, cell, peers, group_of.get(cell.id))
        cells.append(msgspec.structs.replace(cell, summary=summary))
    return msgspec.structs.replace(run, cells=cells)


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
    run: s.Run, cell: s.CellResult, peers: dict[str, float], group: str | None
) -> s.Summary:
    """``peers``: the medians of the cell's group, its own among them."""
    request = run.manifest.request
    timed = _timed(cell)
    seconds = [sample.seconds for sample in timed]
    median_s = _median_s(cell)
    peaks = [each.peak_rss_bytes for each in cell.samples if each.peak_rss_bytes is not None]
    return s.Summary(
        rank=speed.ranks(peers).get(cell.id),
        group=group,
        timed_samples=len(timed),
        timed_samples_asked=request.rounds * request.runs,
        rounds_ok=len({end.round for end in cell.endings if _measured(end)}),
        rounds_asked=request.rounds,
        retries=sum(1 for end in cell.endings if (end.attempt or 0) > 0),
        median_s=median_s,
        min_s=min(seconds, default=None),
        max_s=max(seconds, default=None),
        rtfx=speed.rtfx(cell.clip.seconds, median_s) if median_s is not None else None,
        times_best=_times_best(median_s, peers),
        import_s=_median(load.import_s for load in cell.loads),
        load_s=_median(load.load_s for load in cell.loads),
        first_s=_median(sample.seconds for sample in cell.samples if sample.kind == "warmup"),
        peak_rss_bytes=max(peaks, default=None),
        wer=_wer(cell, timed),
        findings=findings.of(cell, timed, request),
    )


def _times_best(median_s: float | None, peers: dict[str, float]) -> float | None:
    best = min(peers.values(), default=0.0)
    return median_s / best if median_s is not None and best > 0 else None


def _measured(ending: s.EndingResult) -> bool:
    return ending.status == "ok" and ending.attempt is not None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _wer(cell: s.CellResult, timed: Sequence[s.SampleResult]) -> float | None:
    """The mean over timed samples: where every text is the same, that text's word error rate."""
    reference = cell.clip.reference
    # A contract that leaves the language to the library says nothing of what was spoken.
    language = cell.contract.requested.get("language") or cell.clip.language or "en"
    if reference is None or not timed or language != "en":
        return None
    rates = {text: accuracy.wer(reference, text) for text in {sample.text for sample in timed}}
    known = [rate for sample in timed if (rate := rates[sample.text]) is not None]
    return statistics.fmean(known) if known else None
