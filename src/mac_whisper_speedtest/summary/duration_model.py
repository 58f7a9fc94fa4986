"""How each cell's time grows with the audio's length, where a run measured several lengths."""

from __future__ import annotations

import statistics
from collections import defaultdict

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import duration
from mac_whisper_speedtest.stats.duration import Model, Point
from mac_whisper_speedtest.summary import ranking
from mac_whisper_speedtest.summary import samples as timings


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
            models[name] = duration.over_rounds(points)
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
    lengths = {each.name: each.seconds for each in timings.recordings(cell.clip)}
    left_out = timings.replaced_rounds(cell, rounds)
    found: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for sample in timings.timed(cell):
        if not sample.failed and sample.round not in left_out and sample.seconds > 0:
            found[sample.round][sample.utterance].append(sample.seconds)
    return {
        number: [(lengths[name], statistics.median(each)) for name, each in samples.items()]
        for number, samples in found.items()
        if len(samples) > 1
    }


def _result(cell: s.CellResult, model: Model) -> s.DurationFit:
    by_length: defaultdict[str, list[float]] = defaultdict(list)
    for sample in timings.timed(cell):
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
