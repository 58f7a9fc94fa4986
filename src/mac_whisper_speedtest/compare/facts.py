"""What else was different: the machine's state, versions and settings of two runs side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.backends.contract import SETTING_NAMES
from mac_whisper_speedtest.compare.document import FactChange, QuantityChange, RatioInfo
from mac_whisper_speedtest.machine import meters
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import intervals, quantiles, ranking
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict

_UNITS = {
    "load_average_1m": "threads",
    "swap_used_bytes": "byte",
    "memory_stall_share": "fraction",
    "hottest_c": "°C",
    "gpu_clocks_mhz": "MHz",
    "cpu_mhz": "MHz",
    "cpu_limit_mhz": "MHz",
    "canary_s": "s",
}
"""Of conditions that are numbers; the others are words."""

_Value = float | str | bool

SETTING = "setting "
"""Before the name of an effective setting: other work was done where it differs."""


def conditions(base: s.Run, new: s.Run) -> list[FactChange]:
    """The state of the machine around the rounds of both runs: median and range of numbers.

    A number differs where the two ranges have nothing in common, a word where its set of values is
    another.
    """
    first, second = _conditions(base.rounds), _conditions(new.rounds)
    return [
        FactChange(
            name=name,
            unit=_UNITS.get(name, ""),
            base=_shown(first.get(name)),
            new=_shown(second.get(name)),
            differs=_apart(first.get(name), second.get(name)),
        )
        for name in dict.fromkeys([*first, *second])
    ]


def of_runs(base: s.Run, new: s.Run) -> list[FactChange]:
    """The tool, the system, the request and the libraries of both runs: only what differs."""
    return different(of_manifest(base.manifest), of_manifest(new.manifest))


def of_cells(base: s.CellResult, new: s.CellResult) -> list[FactChange]:
    """The backend, its libraries, weights and effective settings of both: only what differs."""
    return different(_of_cell(base), _of_cell(new))


def different(base: Mapping[str, object], new: Mapping[str, object]) -> list[FactChange]:
    """The facts that are not the same in both, in order, as text."""
    return [
        FactChange(
            name=name,
            unit="",
            base=_text(base.get(name)),
            new=_text(new.get(name)),
            differs=True,
        )
        for name in dict.fromkeys([*base, *new])
        if base.get(name) != new.get(name)
    ]


def of_manifest(manifest: s.Manifest) -> dict[str, object]:
    """What a run was made with, by name: the tool, the system, the request, the libraries."""
    request = manifest.request
    return {
        "tool": f"{manifest.tool.version} {manifest.tool.git_sha or ''}".strip(),
        "system": f"{manifest.machine.os} {manifest.machine.os_version}",
        "python": manifest.machine.python,
        "threads": request.threads,
        "device asked": request.device,
        "precision asked": request.precision,
        "samples per round": request.passes,
        "affinity": request.affinity,
        "nice": request.nice or None,
        "noise floor": f"{manifest.noise.floor:.1%}" if manifest.noise else None,
        **{f"library {name}": version for name, version in manifest.libraries.items()},
    }


def _of_cell(cell: s.CellResult) -> dict[str, object]:
    backend, info, weights = cell.backend, cell.model.info, cell.model.weights
    return {
        "version": backend.version,
        "device": backend.device,
        "precision": backend.precision,
        **backend.versions,
        **{f"detail {name}": value for name, value in backend.details.items()},
        "weights": f"{info.format} {info.precision}" if weights else None,
        "weights from": weights.source if weights else None,
        **{
            f"{SETTING}{name}": cell.contract.effective[name]
            for name in SETTING_NAMES
            if name in cell.contract.effective
        },
        **{f"remark {each}": "yes" for each in cell.contract.remarks},
    }


def _conditions(rounds: Sequence[s.RoundResult]) -> dict[str, list[_Value]]:
    found: dict[str, list[_Value]] = {}
    for each in rounds:
        for moment in (each.before, each.after):
            for name, value in moment.values.items():
                found.setdefault(name, []).append(value)
    canaries = list(canary(rounds))
    if canaries:
        found["canary_s"] = [*canaries]
    return found


def canary(rounds: Iterable[s.RoundResult]) -> Iterator[float]:
    """Seconds of the canary after each round."""
    for each in rounds:
        if each.canary_after_s:
            yield each.canary_after_s


def _numbers(values: Sequence[_Value]) -> list[float] | None:
    numbers = [float(each) for each in values if isinstance(each, int | float)]
    words = any(isinstance(each, bool | str) for each in values)
    return None if words else numbers


def _shown(values: Sequence[_Value] | None) -> str | None:
    if values is None:
        return None
    numbers = _numbers(values)
    if numbers is None:
        return " / ".join(dict.fromkeys(_text(each) or "none" for each in values))
    low, high = min(numbers), max(numbers)
    middle = f"{statistics.median(numbers):.4g}"
    return middle if low == high else f"{middle} ({low:.4g}–{high:.4g})"


def _apart(base: Sequence[_Value] | None, new: Sequence[_Value] | None) -> bool:
    if base is None or new is None:
        return True
    first, second = _numbers(base), _numbers(new)
    if first is None or second is None:
        return set(map(str, base)) != set(map(str, new))
    return max(first) < min(second) or max(second) < min(first)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


# Memory, energy and loading of one cell in two runs: one value per process.


MARGIN = 0.10
"""Of memory, energy and loading. The peak memory of a cell's processes was within 0.1 to 3 % of
its median in runs of four backends, and allocators take memory in steps; energy counters are known
to about 5 %. Less than a tenth is nothing that anybody makes room for."""

MEMORY, ENERGY, LOAD = "memory", "energy", "load"

MORE, LESS = "MORE", "LESS"
_WORDS = {Verdict.SLOWER: MORE, Verdict.FASTER: LESS}


@dataclass(frozen=True, slots=True)
class _CellFacts:
    """What the processes of a cell give; without values, why."""

    values: list[float]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One thing to compare; ``always`` shows it even where neither side has it."""

    kind: str
    name: str
    unit: str
    read: Callable[[s.CellResult], _CellFacts]
    always: bool = False


def compare(base: s.CellResult, new: s.CellResult) -> list[QuantityChange]:
    """Every quantity that either cell has, and of those that count always why they have none."""
    return list(_compared(base, new))


def _compared(base: s.CellResult, new: s.CellResult) -> Iterator[QuantityChange]:
    for each in _QUANTITIES:
        ours, theirs = each.read(base), each.read(new)
        if each.always or ours.values or theirs.values:
            yield _change(each, ours, theirs)


def _change(what: _Quantity, base: _CellFacts, new: _CellFacts) -> QuantityChange:
    found = between(new.values, base.values) if base.values and new.values else None
    said = ranking.verdict_of(found, MARGIN) if found is not None else None
    return QuantityChange(
        kind=what.kind,
        name=what.name,
        unit=what.unit,
        base=_median(base.values),
        new=_median(new.values),
        ratio=written(found),
        margin=MARGIN,
        verdict="" if said is None else _WORDS.get(said, said.value),
        reason="" if found is not None else _reason(base, new),
    )


def between(new: Sequence[float], base: Sequence[float]) -> Interval:
    """New / base, with the interval of ranks; of too few values the range of all ratios.

    Unlike a time, such a quantity hardly varies, so one process says something too.
    """
    if quantiles.mann_whitney(len(new), len(base), intervals.LEVEL):
        found = intervals.of_unpaired_ratio(new, base)
        if found is not None:
            return found
    return intervals.range_of_ratio(new, base)


def written(ratio: Interval | None) -> RatioInfo | None:
    """An interval of a ratio as it is written down."""
    if ratio is None:
        return None
    return RatioInfo(estimate=ratio.estimate, low=ratio.low, high=ratio.high, level=ratio.level)


def _reason(base: _CellFacts, new: _CellFacts) -> str:
    sides = {"base": base, "new": new}
    reasons = {name: each.reason for name, each in sides.items() if not each.values}
    if len(reasons) == 2 and base.reason == new.reason:
        return f"not measured: {base.reason}"
    return "not measured: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _peak_rss(cell: s.CellResult) -> _CellFacts:
    peaks: dict[tuple[int, int], int] = {}
    for sample in cell.samples:
        if sample.peak_rss_bytes:
            process = (sample.round, sample.attempt)
            peaks[process] = max(sample.peak_rss_bytes, peaks.get(process, 0))
    return _CellFacts([float(each) for each in peaks.values()], "the worker does not say")


def _reading(name: str) -> Callable[[s.CellResult], _CellFacts]:
    def read(cell: s.CellResult) -> _CellFacts:
        found = [meter.readings[name] for meter in cell.meters if name in meter.readings]
        reasons = [each.reason for each in found if each.value is None]
        values = [each.value for each in found if each.value]
        return _CellFacts(values, next(iter(reasons), "nothing here reads it"))

    return read


def _energy(cell: s.CellResult) -> _CellFacts:
    """Joules per audio hour of every process; of windows too short for that, of all together."""
    each = [found for meter in cell.meters if (found := meters.cell_energy([meter])) is not None]
    known = [found.joules_per_audio_hour.value for found in each]
    values = [value for value in known if value is not None]
    if values:
        return _CellFacts(values)
    together = meters.cell_energy(cell.meters)
    if together is None:
        return _CellFacts([], "energy was not metered")
    whole = together.joules_per_audio_hour
    return _CellFacts([], whole.reason) if whole.value is None else _CellFacts([whole.value])


def _loads(cell: s.CellResult) -> _CellFacts:
    values = [load.load_s for load in cell.loads if load.rung == s.LOAD_FRESH and load.load_s > 0]
    return _CellFacts(values, "no worker got ready")


_QUANTITIES = (
    _Quantity(MEMORY, "peak RSS", "byte", _peak_rss, always=True),
    _Quantity(MEMORY, "peak footprint", "byte", _reading("peak_footprint_bytes")),
    _Quantity(MEMORY, "device memory", "byte", _reading("gpu_peak_bytes")),
    _Quantity(ENERGY, "energy", "J/h of audio", _energy, always=True),
    _Quantity(LOAD, "load", "s", _loads),
)
