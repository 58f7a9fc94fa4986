"""Whether the figures of one run agree with each other, as measured figures do. Pure.

A forger who divides some times has to change a dozen other figures to match. These checks need no
other run; what they find is a doubt, not a proof.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import summary_of
from mac_whisper_speedtest.summary.findings import CLOCK_SHARE
from mac_whisper_speedtest.summary.samples import per_audio_second, timed_samples

CORES_SLACK = 1.1
CPU_SLACK_S = 0.1
"""Processor time may exceed cores × wall time by this factor and this many seconds: a system counts
it in ticks of 10 ms for every thread."""
CLOCK_SLACK_S, CLOCK_SLACK_RATIO = 0.1, 0.25
"""A worker's own time may differ by this much from the tool's; a finding reports less than that."""
JOURNAL_SLACK = 1.05
JOURNAL_SLACK_S = 0.05
UNACCOUNTED_S = 0.5
"""One write to the disk and some readings happen between two samples of a process: 20 to 150 ms."""
MIN_EQUAL = 6
"""This many times of one recording that are equal to the last digit were not measured, unless they
are whole milliseconds: some clocks count in these."""

MOST_WATTS = 1500
"""Most power of a machine's processors and memory, and of each GPU (a B200 draws 1000 W)."""

_PEAK_OF_CORE = {"float32": 6e9 * 64, "": 6e9 * 2048}
"""Precision → operations per second of one core at 6 GHz: two 512-bit multiply-adds of 32-bit
numbers; else the widest matrix unit, AMX on 8-bit numbers (Intel, Architectures Optimization
Manual, section 20.2)."""
_PEAK_OF_APPLE_CORE = 1e12
"""Of any precision; a cluster's matrix unit is counted for each of its cores."""
_PEAK_OF_DEVICE = {True: 2e14, False: 2e16}
"""Of any accelerator: of Apple's with all their units; of others, 4-bit numbers on a B200."""
_WHISPERS = {
    "tiny": (384, 4),
    "base": (512, 6),
    "small": (768, 12),
    "medium": (1024, 24),
    "large": (1280, 32),
}
"""Size → width, and layers of Whisper's encoder and decoder (Radford et al. 2022, table 1)."""
_FEWER_LAYERS = {"turbo": 4, "distil": 2}
"""Part of a name → layers of the decoder, where they differ from those of its size."""
_POSITIONS, _WINDOW_S, _VOCABULARY = 1500, 30.0, 51_864


def doubts_of_cell(cell: s.CellResult, machine: s.MachineInfo) -> list[str]:
    """Contradictions between a cell's samples and its other figures, in words."""
    timed = [each for each in timed_samples(cell) if not each.failed]
    return [
        *_processor_time(timed, machine),
        *_own_clock(timed),
        *_equal_times(timed),
        *_too_fast(cell, machine),
        *_power(cell, machine),
    ]


def _processor_time(timed: Sequence[s.SampleResult], machine: s.MachineInfo) -> Iterator[str]:
    cores = machine.logical_cores
    if not cores:
        return
    for sample in timed:
        used_s = max(sample.cpu_s or 0.0, sample.tree_cpu_s or 0.0)
        if used_s > cores * sample.wall_s * CORES_SLACK + CPU_SLACK_S:
            yield (
                f"it reports {used_s:.2f} s of processor time in {sample.wall_s:.2f} s, more than "
                f"{cores} cores can give"
            )
            return


def _own_clock(timed: Sequence[s.SampleResult]) -> Iterator[str]:
    apart = [
        each
        for each in timed
        if abs(each.wall_s - each.seconds) > max(CLOCK_SLACK_S, CLOCK_SLACK_RATIO * each.wall_s)
    ]
    if apart and len(apart) >= CLOCK_SHARE * len(timed):
        worst = max(apart, key=lambda sample: abs(sample.wall_s - sample.seconds))
        yield f"its worker reported {worst.seconds:.3f} s for a call that took {worst.wall_s:.3f} s"


def _equal_times(timed: Sequence[s.SampleResult]) -> Iterator[str]:
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for sample in timed:
        seconds[sample.utterance].append(sample.seconds)
    for each in seconds.values():
        milliseconds = 1000 * each[0]
        if (
            len(each) >= MIN_EQUAL
            and len(set(each)) == 1
            and abs(milliseconds - round(milliseconds)) > 1e-6
        ):
            yield f"{len(each)} measured times are equal to the last digit: {each[0]!r} s"
            return


def _too_fast(cell: s.CellResult, machine: s.MachineInfo) -> Iterator[str]:
    """More operations per second than any such hardware can compute."""
    fastest = fastest_rtfx(cell, machine)
    rtfx = summary_of(cell).rtfx
    if fastest is not None and rtfx is not None and rtfx > fastest:
        yield f"{rtfx:.0f} times real time; at most {fastest:.0f} is possible on this machine"


def _power(cell: s.CellResult, machine: s.MachineInfo) -> Iterator[str]:
    """More power, from the cell's energy and time, than such a machine can draw."""
    summary = summary_of(cell)
    if summary.joules_per_audio_hour is None or summary.rtfx is None:
        return
    watts = summary.joules_per_audio_hour * summary.rtfx / 3600
    most = MOST_WATTS * (1 + len(machine.gpus or []))
    if watts > most:
        yield f"its energy and time imply {watts:.0f} W; such a machine draws at most {most:.0f} W"


def fastest_rtfx(cell: s.CellResult, machine: s.MachineInfo) -> float | None:
    """The highest possible RTFx on such a machine; ``None`` for networks other than Whisper's.

    Also ``None`` for cells that skip silence: they compute fewer windows than assumed.
    """
    name = cell.model.name
    size = name.removeprefix("distil-").partition(".")[0].partition("-")[0]
    if size not in _WHISPERS or cell.contract.effective.get("vad") is not False:
        return None
    width, layers = _WHISPERS[size]
    fewer = [least for part, least in _FEWER_LAYERS.items() if part in name]
    operations = _encoder_operations(width, layers)
    # No tokens where the backend reports none.
    tokens = per_audio_second(cell, lambda sample: sample.tokens) or 0.0
    operations += tokens * _token_operations(width, min([layers, *fewer]))
    apple = (machine.cpu or "").lower().startswith("apple")
    if (cell.backend.device or "").lower() != "cpu":
        return _PEAK_OF_DEVICE[apple] / operations
    precision = cell.backend.precision or ""
    core = _PEAK_OF_APPLE_CORE if apple else _PEAK_OF_CORE.get(precision, _PEAK_OF_CORE[""])
    return core * (machine.physical_cores or machine.logical_cores or 256) / operations


def _encoder_operations(width: int, layers: int) -> float:
    """Operations per second of audio, in full windows of 30 s.

    Per position and layer: 12 · width² multiplications for its matrices and 2 · positions · width
    for attention.
    """
    per_position = 2 * layers * (12 * width**2 + 2 * _POSITIONS * width)
    return per_position * _POSITIONS / _WINDOW_S


def _token_operations(width: int, layers: int) -> float:
    """Operations per token, independent of how many are computed at once.

    Per layer 14 · width² multiplications (attention to the text, to the audio, and two matrices of
    4 · width²), then the vocabulary's matrix. Attention's own products are left out.
    """
    return 2.0 * (layers * 14 * width**2 + width * _VOCABULARY)


class JournalClock:
    """Compares the times of samples with the times at which their journal lines were written.

    A line is written when its sample ends. So a sample cannot have lasted longer than the gap to
    the line before and, between two samples of one process, hardly less. If most cells lasted
    longer than these gaps, the journal was not written during the measurement (a tool may have
    copied it) and proves nothing about any cell.
    """

    def __init__(self) -> None:
        self._before: tuple[float, s.Event] | None = None
        self._cells: set[str] = set()
        self._too_long: dict[str, str] = {}
        self._gaps: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, at_s: float | None, event: s.Event) -> None:
        """Take the journal's next line."""
        before, self._before = self._before, None if at_s is None else (at_s, event)
        if at_s is None or before is None or not isinstance(event, s.Sample):
            return
        self._cells.add(event.cell)
        gap_s = at_s - before[0]
        if event.wall_s > gap_s * JOURNAL_SLACK + JOURNAL_SLACK_S:
            self._too_long.setdefault(
                event.cell,
                f"a sample lasted {event.wall_s:.2f} s, but was recorded {gap_s:.2f} s after the "
                "line before it",
            )
        if isinstance(before[1], s.Sample) and _process(before[1]) == _process(event):
            self._gaps[event.cell].append((gap_s, event.wall_s))

    def doubts(self) -> dict[str, str]:
        """Cell id → how its samples contradict the journal, in words."""
        found = dict(self._too_long) if 2 * len(self._too_long) <= len(self._cells) else {}
        for cell, pairs in self._gaps.items():
            gap_s = statistics.median(gap for gap, _ in pairs)
            wall_s = statistics.median(wall for _, wall in pairs)
            if gap_s - wall_s > max(UNACCOUNTED_S, wall_s):
                found.setdefault(
                    cell,
                    f"its samples lasted {wall_s:.2f} s, but were recorded {gap_s:.2f} s apart",
                )
        return found


def _process(sample: s.Sample) -> tuple[str, int, int]:
    return sample.cell, sample.round, sample.attempt
