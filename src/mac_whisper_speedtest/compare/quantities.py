"""Memory, energy and loading of one cell in two runs: one value per process."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.compare.document import QuantityChange, RatioInfo
from mac_whisper_speedtest.machine import meters
from mac_whisper_speedtest.results import memory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals, quantiles, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict

MARGIN = 0.10
"""Of memory, energy and loading. The peak memory of a cell's processes was within 0.1 to 3 % of
its median in runs of four backends, and allocators take memory in steps; energy counters are known
to about 5 %. Less than a tenth does not matter in practice."""

MEMORY, ENERGY, LOAD = "memory", "energy", "load"

MORE, LESS = "MORE", "LESS"
_WORDS = {Verdict.SLOWER: MORE, Verdict.FASTER: LESS}


@dataclass(frozen=True, slots=True)
class _Readings:
    """What the processes of a cell give; without values, why."""

    values: list[float]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One thing to compare; ``always`` shows it even where neither side has it."""

    kind: str
    name: str
    unit: str
    read: Callable[[s.CellResult], _Readings]
    always: bool = False


def compare(base: s.CellResult, new: s.CellResult) -> list[QuantityChange]:
    """Every quantity that either cell has; memory and energy always, with the reason if missing."""
    readings = [_peaks(base, new)]
    readings += [(each, each.read(base), each.read(new)) for each in _QUANTITIES]
    return [
        _change(each, before, after)
        for each, before, after in readings
        if each.always or before.values or after.values
    ]


def _change(what: _Quantity, base: _Readings, new: _Readings) -> QuantityChange:
    found = between(new.values, base.values) if base.values and new.values else None
    verdict = ranking.verdict_of(found, MARGIN) if found is not None else None
    return QuantityChange(
        kind=what.kind,
        name=what.name,
        unit=what.unit,
        base=_median(base.values),
        new=_median(new.values),
        ratio=RatioInfo.of(found),
        margin=MARGIN,
        verdict="" if verdict is None else _WORDS.get(verdict, verdict.value),
        reason="" if found is not None else _reason(base, new),
    )


def between(new: Sequence[float], base: Sequence[float]) -> Interval:
    """New / base, with the interval of ranks; of too few values the range of all ratios.

    Unlike a time, such a quantity hardly varies, so even one process is informative.
    """
    if quantiles.mann_whitney(len(new), len(base), intervals.LEVEL):
        found = intervals.of_unpaired_ratio(new, base)
        if found is not None:
            return found
    return intervals.range_of_ratio(new, base)


def _reason(base: _Readings, new: _Readings) -> str:
    sides = {"base": base, "new": new}
    reasons = {name: each.reason for name, each in sides.items() if not each.values}
    if len(reasons) == 2 and base.reason == new.reason:
        return f"not measured: {base.reason}"
    return "not measured: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _peaks(base: s.CellResult, new: s.CellResult) -> tuple[_Quantity, _Readings, _Readings]:
    """The peak memory, where both sides have the same kind of figure."""
    old, figure = memory.figure_of(base.summary), memory.figure_of(new.summary)

    def read(cell: s.CellResult) -> _Readings:
        if old is not figure:
            return _Readings([], f"base has its {old.name}, new its {figure.name}")
        return _Readings([*map(float, memory.peaks_by_process(cell, figure))], figure.missing)

    what = _Quantity(MEMORY, figure.name, "byte", read, always=True)
    return what, read(base), read(new)


def _allocator(cell: s.CellResult) -> _Readings:
    """Of every process, what `Summary.allocator_figure` names: one library has one allocator."""
    processes: defaultdict[tuple[int, int], list[s.SampleResult]] = defaultdict(list)
    for sample in cell.samples:
        processes[sample.round, sample.attempt].append(sample)
    found = [memory.allocator_peak(samples) for samples in processes.values()]
    known = [each for each in found if each is not None]
    names = {each.name for each in known}
    if len(names) > 1:
        return _Readings([], f"its processes have different ones: {', '.join(sorted(names))}")
    return _Readings([float(each.size_bytes) for each in known], "no allocator reports it")


def _reading(name: str) -> Callable[[s.CellResult], _Readings]:
    def read(cell: s.CellResult) -> _Readings:
        found = [meter.readings[name] for meter in cell.meters if name in meter.readings]
        reasons = [each.reason for each in found if each.value is None]
        values = [each.value for each in found if each.value]
        return _Readings(values, next(iter(reasons), "nothing here reads it"))

    return read


def _energy(cell: s.CellResult) -> _Readings:
    """Joules per audio hour of every process; of windows too short for that, of all together."""
    each = [found for meter in cell.meters if (found := meters.cell_energy([meter])) is not None]
    known = [found.joules_per_audio_hour.value for found in each]
    values = [value for value in known if value is not None]
    if values:
        return _Readings(values)
    together = meters.cell_energy(cell.meters)
    if together is None:
        return _Readings([], "energy was not metered")
    whole = together.joules_per_audio_hour
    return _Readings([], whole.reason) if whole.value is None else _Readings([whole.value])


def _loads(cell: s.CellResult) -> _Readings:
    values = [load.load_s for load in cell.loads if load.rung == s.LOAD_FRESH and load.load_s > 0]
    return _Readings(values, "no worker got ready")


_QUANTITIES = (
    _Quantity(MEMORY, "allocator peak", "byte", _allocator),
    _Quantity(MEMORY, "device memory", "byte", _reading("gpu_peak_bytes")),
    _Quantity(ENERGY, "energy", "J/h of audio", _energy, always=True),
    _Quantity(LOAD, "load", "s", _loads),
)
