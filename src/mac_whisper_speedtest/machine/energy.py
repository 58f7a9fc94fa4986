"""The interface of what counts energy, and the probe that puts spans around it."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mac_whisper_speedtest.machine import gpu
from mac_whisper_speedtest.machine.gpu import Nvml
from mac_whisper_speedtest.machine.probe import Reading, Target
from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt

# From counters to joules per hour of audio. Nothing here asks a machine.


SHORTEST_WINDOW_S = 1.0
"""NVML's counter moves every 20 to 100 ms and Apple's models are noise below 10 ms: in one second
the first is exact to a tenth at the worst. Shorter windows are not measured."""

COARSE_BELOW_S = 5.0
"""Windows in which a counter that moves every 100 ms is worse than 2 %."""

SHORTEST_IDLE_S = 3.0

NEAR_IDLE_SHARE = 0.10
"""Where the work adds less than this to what the machine takes anyway, the difference is mostly
that of two idle readings."""

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Count:
    """What one counter says.

    Attributes:
        joules: since some fixed origin.
        wraps_at: the joules after which it starts again at zero; ``None`` if it does not.
    """

    joules: float
    wraps_at: float | None = None


Counts = Mapping[str, Count]
"""By domain: ``package-0``, ``gpu0``, ``ane``. Domains do not overlap; their sum makes sense."""


@dataclass(frozen=True, slots=True)
class Window:
    """Energy between two readings.

    Attributes:
        seconds: the time between them.
        joules: by domain.
        quality: what kind of figure the source gives: ``estimate``, ``sampled``; empty for an
            ordinary counter.
    """

    seconds: float
    joules: Mapping[str, float]
    quality: str = ""

    @property
    def total(self) -> float:
        """Joules of all domains."""
        return sum(self.joules.values())


@dataclass(frozen=True, slots=True)
class EnergyUse:
    """What transcribing took.

    Attributes:
        joules_per_audio_hour: above idle.
        watts: the machine's mean power while it worked, idle included, as far as it is metered.
        idle_watts: before the work.
        domains: which counters are in these figures.
    """

    joules_per_audio_hour: Reading
    watts: Reading
    idle_watts: Reading
    domains: tuple[str, ...] = ()


def between(before: Counts, after: Counts) -> dict[str, float]:
    """Joules by domain, of those that are in both readings.

    A counter that is lower than before has wrapped, once: over windows of minutes it cannot have
    done so twice (a package's range of 262 kJ lasts 22 minutes at 200 W). One that has no range and
    is lower was reset and is left out.
    """
    found = {}
    for domain, then in before.items():
        now = after.get(domain)
        if now is None:
            continue
        spent = now.joules - then.joules
        if spent < 0:
            if now.wraps_at is None:
                continue
            spent += now.wraps_at
        found[domain] = spent
    return found


def refused(window: Window, shortest_s: float = SHORTEST_WINDOW_S) -> str:
    """Why a window is no measurement; empty if it is one."""
    if window.seconds < shortest_s:
        return f"{window.seconds:.2f} s are too short: energy takes {shortest_s:g} s and more"
    if not window.joules:
        return "no counter gave two readings"
    if window.total <= 0:
        return "the counters did not move: they do not work on this machine"
    return ""


def watts(window: Window) -> dict[str, float]:
    """Mean power by domain: joules / seconds."""
    return {domain: joules / window.seconds for domain, joules in window.joules.items()}


def spent(windows: Sequence[Window], idle: Window | Unknown, audio_s: float) -> EnergyUse:
    """What transcribing took, above what the machine takes anyway.

        joules per audio hour = 3600 * (J - W_idle * t) / audio

    with J and t summed over the windows, and W_idle the mean power of a quiet window of at least
    `SHORTEST_IDLE_S` before the work; only domains that are in all of them. The subtraction is what
    zeus and MLPerf Power describe as dynamic energy: these counters are of the whole machine.

    Args:
        windows: around the work, each at least `SHORTEST_WINDOW_S` long.
        idle: before it.
        audio_s: seconds of audio that were transcribed in all windows together.
    """
    reason = _reason(windows, idle, audio_s)
    if reason or isinstance(idle, Unknown):
        power = Reading(None, "W", reason)
        return EnergyUse(Reading(None, "J/h", reason), power, power)
    domains = _shared_domains([*windows, idle])
    seconds = sum(window.seconds for window in windows)
    joules = sum(window.joules[name] for window in windows for name in domains)
    rest_w = sum(watts(idle)[name] for name in domains)
    rest_j = rest_w * seconds
    power = Reading(joules / seconds, "W", quality=_quality(windows, idle))
    rest = Reading(rest_w, "W", quality=idle.quality)
    above = joules - rest_j
    if above <= 0:
        why = f"{joules:.1f} J are no more than the {rest_j:.1f} J of an idle machine"
        return EnergyUse(Reading(None, "J/h", why), power, rest, domains)
    flags = [_quality(windows, idle)]
    if above < NEAR_IDLE_SHARE * rest_j:
        flags.append("near idle")
    quality = ", ".join(filter(None, flags))
    per_hour = Reading(_HOUR_S * above / audio_s, "J/h", quality=quality)
    return EnergyUse(per_hour, power, rest, domains)


def _reason(windows: Sequence[Window], idle: Window | Unknown, audio_s: float) -> str:
    """Why nothing can be said; empty if something can."""
    without = "no idle power to subtract"
    if isinstance(idle, Unknown):
        return f"{without}: {idle.reason}"
    if not windows or audio_s <= 0:
        return "no audio was transcribed in a metered window"
    not_idle = refused(idle, SHORTEST_IDLE_S)
    reasons = [*map(refused, windows), f"{without}: {not_idle}" if not_idle else ""]
    if not _shared_domains([*windows, idle]):
        reasons.append("no counter gave readings in every window")
    return next(filter(None, reasons), "")


def _shared_domains(windows: Iterable[Window]) -> tuple[str, ...]:
    sets = [set(window.joules) for window in windows]
    return tuple(sorted(set.intersection(*sets)))


def _quality(windows: Sequence[Window], idle: Window) -> str:
    flags = {flag for window in [*windows, idle] for flag in window.quality.split(", ") if flag}
    if min(window.seconds for window in windows) < COARSE_BELOW_S:
        flags.add("coarse")
    return ", ".join(sorted(flags))


class EnergyCounter(Protocol):
    """Something that counts joules.

    Attributes:
        name: ``nvml``, ``rapl``, ``apple``.
        quality: how far its figures can be trusted where that is not fully.
    """

    name: str
    quality: str

    def read(self) -> Counts | Unknown:
        """All its domains now; may raise what `attempt` turns into a reason."""


class Energy:
    """Energy of the whole machine over a span, by domain.

    Put it around all timed samples of a round rather than one: spans shorter than
    `joules.SHORTEST_WINDOW_S` are not measured. Figures: ``energy_<domain>_j`` for each domain,
    ``energy_wall_s``, and ``energy_j`` for their sum. `window` gives the same for `joules.spent`.
    """

    name = "energy"

    def __init__(
        self, counters: Sequence[EnergyCounter], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._before: dict[str, Counts | Unknown] = {}
        self._began = 0.0
        self.window: Window | Unknown = Unknown("nothing was metered yet")

    def begin(self, target: Target) -> None:  # noqa: ARG002 - the whole machine's
        """Read all counters, the clock last."""
        self._before = {each.name: _read(each) for each in self._counters}
        self._began = self._clock()

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """Read the clock, then all counters again."""
        seconds = self._clock() - self._began
        spent: dict[str, float] = {}
        reasons, flags = [], set()
        for counter in self._counters:
            before = self._before.get(counter.name, Unknown("begin was not called"))
            after = _read(counter)
            if isinstance(before, Unknown) or isinstance(after, Unknown):
                failed = before if isinstance(before, Unknown) else after
                assert isinstance(failed, Unknown)
                reasons.append(f"{counter.name}: {failed.reason}")
                continue
            spent |= between(before, after)
            flags.add(counter.quality)
        quality = ", ".join(sorted(filter(None, flags)))
        self.window = self._judged(Window(seconds, spent, quality), reasons)
        return self._readings(seconds)

    def _judged(self, window: Window, reasons: Sequence[str]) -> Window | Unknown:
        if not self._counters:
            return Unknown("this machine has no energy counter that can be read")
        if not window.joules and reasons:
            return Unknown("; ".join(reasons))
        reason = refused(window)
        return Unknown(reason) if reason else window

    def _readings(self, seconds: float) -> dict[str, Reading]:
        wall = Reading(seconds, "s")
        window = self.window
        if isinstance(window, Unknown):
            return {"energy_wall_s": wall, "energy_j": Reading(None, "J", window.reason)}
        each = {
            f"energy_{domain}_j": Reading(value, "J", quality=window.quality)
            for domain, value in window.joules.items()
        }
        total = Reading(window.total, "J", quality=window.quality)
        return {"energy_wall_s": wall, "energy_j": total, **each}


def idle(
    counters: Sequence[EnergyCounter],
    *,
    seconds: float = SHORTEST_IDLE_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Window | Unknown:
    """The energy of a quiet machine over some seconds, to be called before any worker is started.

    Where there is nothing to read it returns at once.
    """
    usable = [each for each in counters if not isinstance(_read(each), Unknown)]
    if not usable:
        return Unknown("this machine has no energy counter that can be read")
    probe = Energy(usable, clock)
    probe.begin(Target(None))
    sleep(seconds)
    probe.end(Target(None))
    return probe.window


def _read(counter: EnergyCounter) -> Counts | Unknown:
    return attempt(counter.read)


# Energy of Intel's and AMD's processors on Linux, from the powercap files.


_ROOT = "/sys/class/powercap"
_MICRO = 1e-6


class Rapl:
    """RAPL: microjoules of every package, and of its memory where it is metered.

    A package's core and uncore zones are part of it, ``psys`` contains it, and ``intel-rapl-mmio``
    repeats it: none of these is added. AMD's processors appear under the same names. Since
    CVE-2020-8694 the files can only be read by root unless the administrator allows more.
    """

    name = "rapl"
    quality = ""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self) -> Counts | Unknown:
        """``package-0``, ``package-0-dram`` and so on."""
        if self._reader.macos:
            return Unknown("RAPL's files are Linux's")
        found: dict[str, Count] = {}
        failed: Unknown | None = None
        for zone in self._reader.matching(f"{_ROOT}/intel-rapl:*"):
            domain = self._domain(zone)
            if not domain:
                continue
            count = self._count(zone)
            if isinstance(count, Unknown):
                failed = count
            else:
                found[domain] = count
        return found or failed or Unknown(f"there is no RAPL below {_ROOT}")

    def _domain(self, zone: str) -> str:
        """What a zone is called here; empty where it is contained in another."""
        name = self._reader.read(f"{zone}/name")
        if not isinstance(name, str):
            return ""
        if name.startswith("package"):
            return name
        if name == "dram":
            package = self._reader.read(f"{zone.rpartition(':')[0]}/name")
            if isinstance(package, str):
                return f"{package}-dram"
            # Without its package's name the zone's number still tells two apart.
            return f"dram-{zone.rpartition('/')[2].partition(':')[2]}"
        return ""

    def _count(self, zone: str) -> Count | Unknown:
        energy = self._reader.read(f"{zone}/energy_uj")
        if isinstance(energy, Unknown):
            return Unknown(f"{energy.reason} (it takes root unless the administrator allows more)")
        if not re.fullmatch(r"\d+", energy):
            return Unknown(f"{zone}/energy_uj says {energy[:20]!r}")
        most = self._reader.read(f"{zone}/max_energy_range_uj")
        range_uj = int(most) if isinstance(most, str) and most.isdecimal() else 0
        return Count(int(energy) * _MICRO, range_uj * _MICRO or None)


# Energy of NVIDIA GPUs, from the driver's own counter.


class NvmlEnergy:
    """``nvmlDeviceGetTotalEnergyConsumption``: millijoules since the driver was loaded.

    Volta and newer; needs no rights. The counter moves every 20 to 100 ms, and behind it the sensor
    of an A100 or H100 looks only a quarter of the time (arXiv 2312.02741): hence ``sampled``. All
    GPUs of the machine are counted, the idle ones too, which subtracting idle power takes out
    again. Instances of a MIG GPU have no counters of their own.
    """

    name = "nvml"
    quality = "sampled"

    def __init__(self, library: Nvml | Unknown) -> None:
        self._nvml = library

    def read(self) -> Counts | Unknown:
        """``gpu0``, ``gpu1`` and so on, in the order of the PCI bus."""
        if isinstance(self._nvml, Unknown):
            return self._nvml
        energies = self._nvml.energy_mj()
        return {f"gpu{index}": Count(each / 1e3) for index, each in enumerate(energies)}


# Energy of Apple silicon, from the counters behind powermetrics, without its root.


_MILLI = 1e-3
_ALONE = ("gpu_mj", "gpu_sram_mj", "ane_mj", "dram_mj")
_CLUSTERS = ("efficiency_cluster_mj", "performance_cluster_mj")


class AppleEnergy:
    """zeus-apple-silicon's cumulative counters: CPU, GPU, its SRAM, Neural Engine and DRAM.

    They are the chip's own model of its energy, not a sensor's: hence ``estimate``. They are of the
    whole chip, whoever uses it, and leave out the display, the drive and the power supply's loss.
    """

    name = "apple"
    quality = "estimate"

    def __init__(self, monitor: Any) -> None:
        """Read ``monitor``, an ``AppleEnergyMonitor``, or give the reason that stands for it."""
        self._monitor = monitor

    def read(self) -> Counts | Unknown:
        """``cpu``, ``gpu``, ``gpu_sram``, ``ane``, ``dram``, as far as the chip has them."""
        if isinstance(self._monitor, Unknown):
            return self._monitor
        return counts(self._monitor.get_cumulative_energy())


def open_monitor() -> Any:
    """The library's monitor, or an `Unknown`: no Apple silicon, a virtual machine, no library."""
    try:
        library = importlib.import_module("zeus_apple_silicon")
    except ImportError:
        hint = "python -m pip install 'mac-whisper-speedtest[mac]'"
        return Unknown(f"zeus-apple-silicon is not installed (Python 3.13 at most): {hint}")
    return attempt(library.AppleEnergyMonitor)


def counts(metrics: Any) -> Counts | Unknown:
    """The domains of one reading.

    The CPU is ``cpu_total_mj``; where a chip has none, the sum of its clusters. Single cores are
    never added up: they leave out the cache and fabric that a cluster shares.

    Args:
        metrics: with the attributes of ``AppleEnergyMetrics``: millijoules, ``None`` where the chip
            has no such channel.
    """
    found: dict[str, Count] = {}
    total = getattr(metrics, "cpu_total_mj", None)
    if total is None:
        clusters = [getattr(metrics, name, None) for name in _CLUSTERS]
        known = [value for each in clusters if each is not None for value in each]
        total = sum(known) if known else None
    if total is not None:
        found["cpu"] = Count(total * _MILLI)
    for name in _ALONE:
        value = getattr(metrics, name, None)
        if value is not None:
            found[name.removesuffix("_mj")] = Count(value * _MILLI)
    return found or Unknown("the chip names no energy channel")


# Which energy counters this machine has.


def counters(reader: Reader | None = None) -> list[EnergyCounter]:
    """Those that can exist on this system; each says itself why it cannot be read.

    Their domains do not overlap: a processor's package and its memory, discrete GPUs, Apple's chip.
    """
    reader = reader or Reader()
    if reader.macos:
        return [AppleEnergy(open_monitor())]
    return [Rapl(reader), NvmlEnergy(gpu.shared())]
