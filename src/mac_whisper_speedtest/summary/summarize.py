"""From a run's raw samples to its figures: pure, so that they can be recomputed at any time."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from mac_whisper_speedtest.machine import meters
from mac_whisper_speedtest.machine.probe import Reading
from mac_whisper_speedtest.results import memory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import rounds_requested
from mac_whisper_speedtest.results.memory import MemoryFigure
from mac_whisper_speedtest.stats import duration, stopping
from mac_whisper_speedtest.stats.duration import DurationModel, Point
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.summary import accuracy, findings, ranking
from mac_whisper_speedtest.summary import samples as cell_samples
from mac_whisper_speedtest.summary.ranking import RunComparison

# How each cell's time grows with the audio's length, where a run measured several lengths.


def fits(run: s.Run) -> dict[str, s.DurationFit]:
    """Cell id → its fit, for sound cells measured on cuts of several lengths.

    Break-even lengths are between cells of one model.
    """
    cells = {
        cell.id: cell for cell in run.cells if cell.clip.kind == "durations" and cell.status == "ok"
    }
    models = {}
    for name, cell in cells.items():
        points = _points(cell, run.rounds)
        if points:
            models[name] = duration.fit_rounds(points)
    found = {name: _result(cells[name], model) for name, model in models.items()}
    for name, model in models.items():
        for other, against in models.items():
            if name == other or cells[name].model.name != cells[other].model.name:
                continue
            meet = duration.break_even(model, against)
            if meet is not None:
                found[name].break_even_s[other] = s.BreakEven(
                    seconds=meet.seconds,
                    low=meet.low,
                    high=meet.high if meet.high != float("inf") else None,
                    wins_below=meet.first_wins_below,
                )
    return found


def _points(cell: s.CellResult, rounds: list[s.RoundResult]) -> dict[int, list[Point]]:
    """Round → (audio seconds, median seconds) of each length, where there are two at least."""
    lengths = {each.name: each.seconds for each in cell.clip.recordings}
    left_out = cell_samples.replaced_rounds(cell, rounds)
    found: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in cell_samples.timed_samples(cell):
        if not sample.failed and sample.round not in left_out and sample.seconds > 0:
            found[sample.round][sample.utterance].append(sample.seconds)
    return {
        number: [(lengths[name], statistics.median(each)) for name, each in samples.items()]
        for number, samples in found.items()
        if len(samples) > 1
    }


def _result(cell: s.CellResult, model: DurationModel) -> s.DurationFit:
    by_length: defaultdict[str, list[float]] = defaultdict(list)
    for sample in cell_samples.timed_samples(cell):
        if not sample.failed:
            by_length[sample.utterance].append(sample.seconds)
    every = list(model.fits.values())
    shape = model.shape
    stepped = [each.window_s[shape] for each in every if shape in each.window_s] if shape else []
    return s.DurationFit(
        fixed_s=statistics.median(each.fixed_s for each in every),
        fixed=ranking.bounds(model.fixed_s),
        per_audio_s=statistics.median(each.per_second for each in every),
        per_audio=ranking.bounds(model.per_second),
        shape=str(shape) if shape is not None else None,
        staircase=shape in duration.STEPPED,
        window_s=statistics.median(stepped) if stepped else None,
        seconds_by_duration={name: statistics.median(values) for name, values in by_length.items()},
        break_even_s={},
    )


def summarize(run: s.Run) -> s.Run:
    """The run with a summary in every cell.

    A cell whose figures cannot be computed is ``failed`` with the reason, and the other cells are
    compared without it.
    """
    with contextlib.suppress(Exception):  # arithmetic on arbitrary numbers fails in many ways
        return _summarized(run)
    sound: list[s.CellResult] = []
    found: dict[str, s.CellResult] = {}
    for cell in run.cells:
        try:
            _summarized(msgspec.structs.replace(run, cells=[*sound, cell]))
            sound.append(cell)
        except Exception as error:  # noqa: BLE001 - likewise
            found[cell.id] = _not_computed(run, cell, error)
    known = _summarized(msgspec.structs.replace(run, cells=sound))
    found |= {cell.id: cell for cell in known.cells}
    return msgspec.structs.replace(run, cells=[found[cell.id] for cell in run.cells])


def _not_computed(run: s.Run, cell: s.CellResult, error: Exception) -> s.CellResult:
    """The cell with its samples and no figures."""
    failed = msgspec.structs.replace(
        cell,
        status="failed" if cell.status == "ok" else cell.status,
        endings=[
            *cell.endings,
            s.EndingResult(
                round=0,
                attempt=None,
                status="failed",
                stage="",
                error_class=type(error).__name__,
                message=f"its figures cannot be computed: {error}",
                log_tail="",
                exit_code=None,
            ),
        ],
    )
    bare = msgspec.structs.replace(failed, samples=[], loads=[], meters=[])
    (computed,) = _summarized(msgspec.structs.replace(run, cells=[bare])).cells
    return msgspec.structs.replace(failed, summary=computed.summary)


def _summarized(run: s.Run) -> s.Run:
    compared = ranking.compare(run)
    durations = fits(run)
    cells = [
        msgspec.structs.replace(cell, summary=_summary(run, cell, compared, durations.get(cell.id)))
        for cell in run.cells
    ]
    return msgspec.structs.replace(run, cells=cells)


def _summary(
    run: s.Run, cell: s.CellResult, compared: RunComparison, duration: s.DurationFit | None
) -> s.Summary:
    counting = cell_samples.timed_samples(cell)
    left_out = cell_samples.replaced_rounds(cell, run.rounds, counting)
    timed = [sample for sample in counting if sample.round not in left_out]
    good = [sample for sample in timed if not sample.failed]
    seconds = cell_samples.pass_seconds(cell, good)
    # A cell that failed or was interrupted later still has the times measured before.
    rtf = _median(cell_samples.round_rtf(cell, run.rounds, counting).values())
    started = [load for load in cell.loads if load.rung != s.LOAD_WARM]
    group = compared.groups.get(cell.id)
    rank = group.ranking.ranks.get(cell.id) if group else None
    best = group.ranking.best if group else None
    against = group.ranking.against_best.get(cell.id) if group else None
    best_rtf = compared.median_rtf(best) if best else None
    judged = compared.judged.get(cell.id)
    energy = meters.cell_energy(cell.meters)
    figure = memory.figure_on(run.manifest.machine.os)
    warm_ups = cell_samples.warm_ups(cell)
    first = [calls[0] for calls in warm_ups]
    allocator = memory.allocator_peak(cell.samples)
    device = memory.device_memory(cell)
    return s.Summary(
        rank=rank.first if rank else None,
        rank_last=rank.last if rank else None,
        group=group.name if group else None,
        timed_samples=len(timed),
        timed_samples_asked=cell_samples.asked(run, cell),
        rounds_ok=len({end.round for end in cell.endings if _measured(end)} - left_out),
        rounds_asked=rounds_requested(cell.id, run.manifest, run.decisions),
        retries=sum(1 for end in cell.endings if (end.attempt or 0) > 0),
        median_s=rtf * cell.clip.seconds if rtf is not None else None,
        min_s=min(seconds, default=None),
        max_s=max(seconds, default=None),
        rtfx=1 / rtf if rtf else None,
        rtfx_bounds=_inverse(compared.medians.get(cell.id)),
        times_best=rtf / best_rtf if rtf is not None and best_rtf else None,
        times_best_bounds=ranking.bounds(against.ratio) if against else None,
        verdict=str(against.verdict) if against else "",
        detectable=stopping.detectable(group.ranking, cell.id) if group else None,
        import_s=_median(load.import_s for load in started),
        load_s=_median(load.load_s for load in cell.loads if load.rung == s.LOAD_FRESH),
        load_cold_s=_median(load.load_s for load in cell.loads if load.rung == s.LOAD_COLD),
        load_warm_s=_median(load.load_s for load in cell.loads if load.rung == s.LOAD_WARM),
        first_s=_median(sample.seconds for sample in first),
        warmup_s=_median(sum(call.wall_s for call in calls) for calls in warm_ups),
        warmup_calls=max(map(len, warm_ups), default=None),
        first_segment_s=_median(sample.first_segment_s for sample in good),
        peak_memory_bytes=_peak(cell.samples, figure),
        peak_memory_kind=figure.kind,
        first_peak_memory_bytes=_peak(first, figure),
        allocator_peak_bytes=allocator.size_bytes if allocator else None,
        allocator_figure=allocator.name if allocator else "",
        cores_used=_cores_used(good),
        joules_per_audio_hour=energy.joules_per_audio_hour.value if energy else None,
        energy_quality=_quality(energy.joules_per_audio_hour) if energy else "",
        device_memory_bytes=device.size_bytes,
        device_memory_quality=device.quality,
        wer=judged.score.rate if judged and judged.score.metric == "wer" else None,
        accuracy=accuracy.result(judged) if judged else None,
        fast_but_wrong=group is not None and judged is not None and judged.wrong,
        duration=duration,
        findings=findings.findings_for_cell(run, cell, timed),
    )


def _inverse(rtf: Interval | None) -> s.Bounds | None:
    """The interval of RTFx: the inverse of RTF's."""
    return ranking.bounds(rtf.inverse()) if rtf is not None else None


def _measured(ending: s.EndingResult) -> bool:
    return ending.status == "ok" and ending.attempt is not None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _peak(samples: Iterable[s.SampleResult], figure: MemoryFigure) -> int | None:
    known = [each for sample in samples if (each := figure.of(sample)) is not None]
    return max(known, default=None)


def _quality(reading: Reading) -> str:
    return reading.quality if reading.value is not None else f"not measured: {reading.reason}"


def _cores_used(samples: Iterable[s.SampleResult]) -> float | None:
    """Processor seconds of the worker's tree per second of wall time, over all samples."""
    known = [(each.tree_cpu_s, each.wall_s) for each in samples if each.tree_cpu_s is not None]
    wall_s = sum(wall for _, wall in known)
    return sum(cpu for cpu, _ in known) / wall_s if wall_s > 0 else None
