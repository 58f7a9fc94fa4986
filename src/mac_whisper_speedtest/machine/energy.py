"""Energy: the counters of this machine, the probe that reads them, and joules per hour of audio."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.machine import apple, nvml
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.machine.probe import MACHINE, Quality, Reading, Target
from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt, require

SHORTEST_WINDOW_S = 1.0
"""Shorter windows are not measured. NVML's counter moves every 20 to 100 ms, so over one second its
error is a tenth at most; Apple's models are noise below 10 ms."""

COARSE_BELOW_S = 5.0
"""In shorter windows the error of a counter that moves every 100 ms exceeds 2 %."""

SHORTEST_IDLE_S = 3.0

NEAR_IDLE_SHARE = 0.10
"""Where the work adds less than this share to the idle energy, the difference is mostly noise."""

_PROCESSORS = ("cpu", "package-")
"""Domains that no machine leaves at 0 J for a second. Those of a GPU or Neural Engine may rest."""

_HOUR_S = 3600.0
_NO_COUNTER = "this machine has no readable energy counter"


@dataclass(frozen=True, slots=True)
class Count:
    """The value of one counter.

    Attributes:
        joules: since a fixed origin.
        wraps_at: joules at which it restarts from zero; ``None`` if it does not.
    """

    joules: float
    wraps_at: float | None = None


Counts = Mapping[str, Count]
"""By domain: ``package-0``, ``gpu0``, ``ane``. Domains do not overlap, so they may be added."""


@dataclass(frozen=True, slots=True)
class Window:
    """Energy between two readings.

    Attributes:
        joules: by domain.
        quality: of the source: ``estimate``, ``sampled``; empty for an ordinary counter.
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
    """The energy of transcribing.

    Attributes:
        joules_per_audio_hour: above idle.
        watts: mean power of all metered domains during the work, including idle power.
        idle_watts: mean power before the work.
        domains: the counters that these figures include.
    """

    joules_per_audio_hour: Reading
    watts: Reading
    idle_watts: Reading
    domains: tuple[str, ...] = ()


def no_energy(reason: str) -> EnergyUse:
    """An energy use of which no figure is known."""
    power = Reading(None, "W", reason)
    return EnergyUse(Reading(None, "J/h", reason), power, power)


def joules_between(before: Counts, after: Counts) -> dict[str, float]:
    """Joules of each domain that is in both readings.

    A counter that is lower than before has wrapped, and only once in windows of minutes (a
    package's range of 262 kJ lasts 22 minutes at 200 W). One without a range that is lower was
    reset; its domain is left out.
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


def refusal_reason(window: Window, shortest_s: float = SHORTEST_WINDOW_S) -> str:
    """Why a window is not a valid measurement; empty if it is."""
    if window.seconds < shortest_s:
        return f"{window.seconds:.2f} s are too short: energy needs at least {shortest_s:g} s"
    if not window.joules:
        return "no counter gave two readings"
    still = [name for name, joules in window.joules.items() if joules <= 0]
    if len(still) == len(window.joules):
        return "the counters did not move: they do not work on this machine"
    if any(name.startswith(_PROCESSORS) and not name.endswith("-dram") for name in still):
        return f"the counter of {still[0]} did not move: it does not work on this machine"
    return ""


def mean_watts(window: Window) -> dict[str, float]:
    """Mean power in watts, by domain."""
    return {domain: joules / window.seconds for domain, joules in window.joules.items()}


def energy_use(windows: Sequence[Window], idle: Window | Unknown, audio_s: float) -> EnergyUse:
    """The energy of transcribing, above the idle machine's.

        joules per audio hour = 3600 * (J - W_idle * t) / audio

    with J and t summed over the windows, and W_idle the mean power of an idle window of at least
    `SHORTEST_IDLE_S` before the work; only domains that are in all windows count. The counters are
    of the whole machine; zeus and MLPerf Power call this difference dynamic energy.

    Args:
        windows: around the work, each at least `SHORTEST_WINDOW_S` long.
        idle: before the work.
        audio_s: seconds of audio that were transcribed in all windows together.
    """
    reason = _unmeasurable_reason(windows, idle, audio_s)
    if reason or isinstance(idle, Unknown):
        return no_energy(reason)
    domains = _shared_domains([*windows, idle])
    seconds = sum(window.seconds for window in windows)
    joules = sum(window.joules[name] for window in windows for name in domains)
    rest_w = sum(mean_watts(idle)[name] for name in domains)
    rest_j = rest_w * seconds
    power = Reading(joules / seconds, "W", quality=_quality(windows, idle))
    rest = Reading(rest_w, "W", quality=idle.quality)
    above = joules - rest_j
    if above <= 0:
        why = f"{joules:.1f} J are no more than the {rest_j:.1f} J of the idle machine"
        return EnergyUse(Reading(None, "J/h", why), power, rest, domains)
    flags = [_quality(windows, idle)]
    if above < NEAR_IDLE_SHARE * rest_j:
        flags.append(Quality.NEAR_IDLE)
    quality = ", ".join(filter(None, flags))
    per_hour = Reading(_HOUR_S * above / audio_s, "J/h", quality=quality)
    return EnergyUse(per_hour, power, rest, domains)


def _unmeasurable_reason(windows: Sequence[Window], idle: Window | Unknown, audio_s: float) -> str:
    without = "no idle power to subtract"
    if isinstance(idle, Unknown):
        return f"{without}: {idle.reason}"
    if not windows or audio_s <= 0:
        return "no audio was transcribed in a metered window"
    not_idle = refusal_reason(idle, SHORTEST_IDLE_S)
    reasons = [*map(refusal_reason, windows), f"{without}: {not_idle}" if not_idle else ""]
    if not _shared_domains([*windows, idle]):
        reasons.append("no counter gave readings in every window")
    return next(filter(None, reasons), "")


def _shared_domains(windows: Iterable[Window]) -> tuple[str, ...]:
    sets = [set(window.joules) for window in windows]
    return tuple(sorted(set.intersection(*sets)))


def _quality(windows: Sequence[Window], idle: Window) -> str:
    flags = {flag for window in [*windows, idle] for flag in window.quality.split(", ") if flag}
    if min(window.seconds for window in windows) < COARSE_BELOW_S:
        flags.add(Quality.COARSE)
    return ", ".join(sorted(flags))


READINGS = {
    "energy_wall_s": Doc("time between the two looks at the counters", "s"),
    "energy_j": Doc("of all domains in between; not known below 1 s", "J"),
    "energy_<domain>_j": Doc("of one domain", "J"),
    "idle_energy_wall_s": Doc("how long the machine was left alone before any worker", "s"),
    "idle_energy_<domain>_j": Doc("of one domain meanwhile", "J"),
}
"""Domains do not overlap: ``package-0``, ``package-0-dram``, ... (RAPL), ``gpu0``, ... (NVIDIA),
``cpu``, ``gpu``, ``gpu_sram``, ``ane``, ``dram`` (Apple silicon)."""


class EnergyCounter(Protocol):
    """Something that counts joules.

    Attributes:
        name: ``nvml``, ``rapl``, ``apple``.
        quality: as in `Window`.
    """

    name: str
    quality: str

    def read(self, target: Target = MACHINE) -> Counts | Unknown:
        """The present counts of its domains; may raise what `attempt` turns into a reason.

        All domains for `MACHINE`; for a worker without those that it cannot be using.
        """


class Energy:
    """Energy of the whole machine over a span, by domain.

    Put it around all timed samples of a round rather than one: spans shorter than
    `SHORTEST_WINDOW_S` are not measured. Figures: ``energy_<domain>_j`` for each domain,
    ``energy_wall_s``, and ``energy_j`` for the sum. `window` has the same data for `energy_use`.
    """

    name = "energy"

    def __init__(
        self, counters: Sequence[EnergyCounter], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._before: dict[str, Counts | Unknown] = {}
        self._began = 0.0
        self.window: Window | Unknown = Unknown("nothing has been metered yet")

    def begin(self, target: Target) -> None:
        """Read all counters, the clock last."""
        self._before = {each.name: attempt(partial(each.read, target)) for each in self._counters}
        self._began = self._clock()

    def end(self, target: Target) -> dict[str, Reading]:
        """Read the clock, then all counters again."""
        seconds = self._clock() - self._began
        joules: dict[str, float] = {}
        reasons, flags = [], set()
        for counter in self._counters:
            found = self._spent(counter, target)
            if isinstance(found, Unknown):
                reasons.append(f"{counter.name}: {found.reason}")
            else:
                joules |= found
                flags.add(counter.quality)
        quality = ", ".join(sorted(filter(None, flags)))
        self.window = self._judged(Window(seconds, joules, quality), reasons)
        return self._readings(seconds)

    def _spent(self, counter: EnergyCounter, target: Target) -> dict[str, float] | Unknown:
        before = self._before.get(counter.name, Unknown("begin was not called"))
        return attempt(lambda: joules_between(require(before), require(counter.read(target))))

    def _judged(self, window: Window, reasons: Sequence[str]) -> Window | Unknown:
        if not self._counters:
            return Unknown(_NO_COUNTER)
        if not window.joules and reasons:
            return Unknown("; ".join(reasons))
        reason = refusal_reason(window)
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


def meter_idle(
    counters: Sequence[EnergyCounter],
    *,
    seconds: float = SHORTEST_IDLE_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Window | Unknown:
    """The energy of the idle machine; call it before any worker starts.

    It returns at once where no counter can be read.
    """
    usable = [each for each in counters if not isinstance(attempt(each.read), Unknown)]
    if not usable:
        return Unknown(_NO_COUNTER)
    probe = Energy(usable, clock)
    probe.begin(MACHINE)
    sleep(seconds)
    probe.end(MACHINE)
    return probe.window


# Intel and AMD processors on Linux, from the powercap files.
_ROOT = "/sys/class/powercap"
_MICRO = 1e-6


class Rapl:
    """RAPL: microjoules of every package, and of its memory where that is metered.

    A package contains its core and uncore zones, ``psys`` contains the package, and
    ``intel-rapl-mmio`` repeats it: none of these is added. AMD processors have the same names.
    Since CVE-2020-8694 only root can read the files, unless the administrator allows more.
    """

    name = "rapl"
    quality = ""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read(self, target: Target = MACHINE) -> Counts | Unknown:  # noqa: ARG002
        """``package-0``, ``package-0-dram`` and so on."""
        if self._reader.macos:
            return Unknown("RAPL files exist on Linux only")
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
        """The domain of a zone; empty if another zone contains it."""
        name = self._reader.read(f"{zone}/name")
        if not isinstance(name, str):
            return ""
        if name.startswith("package"):
            return name
        if name == "dram":
            package = self._reader.read(f"{zone.rpartition(':')[0]}/name")
            if isinstance(package, str):
                return f"{package}-dram"
            # Without its package's name the zone's number still distinguishes two of them.
            return f"dram-{zone.rpartition('/')[2].partition(':')[2]}"
        return ""

    def _count(self, zone: str) -> Count | Unknown:
        energy = self._reader.read(f"{zone}/energy_uj")
        if isinstance(energy, Unknown):
            return Unknown(
                f"{energy.reason} (only root can read it, unless the administrator allows more)"
            )
        if not re.fullmatch(r"\d+", energy):
            return Unknown(f"{zone}/energy_uj contains {energy[:20]!r}")
        most = self._reader.read(f"{zone}/max_energy_range_uj")
        range_uj = int(most) if isinstance(most, str) and most.isdecimal() else 0
        return Count(int(energy) * _MICRO, range_uj * _MICRO or None)


# NVIDIA GPUs, from the driver's counter.
class NvmlEnergy:
    """``nvmlDeviceGetTotalEnergyConsumption``: millijoules since the driver was loaded.

    Volta and newer; needs no special rights. The counter moves every 20 to 100 ms, and the sensor
    of an A100 or H100 samples only a quarter of the time (arXiv 2312.02741): hence ``sampled``.
    Around a worker, only the GPU that it names is read. A MIG instance has no own counter.
    """

    name = "nvml"
    quality: str = Quality.SAMPLED

    def __init__(self, library: Nvml | Unknown) -> None:
        self._nvml = library

    def read(self, target: Target = MACHINE) -> Counts | Unknown:
        """``gpu0``, ``gpu1`` and so on, in the order of the PCI bus."""
        library = self._nvml
        if isinstance(library, Unknown):
            return library
        own = library.gpus if target.pid is None else [require(library.gpu_of(target.gpu))]
        found = library.each(library.energy_mj, own)
        return {name: Count(each / 1e3) for name, each in found.items()}


# Apple silicon, from the counters behind powermetrics, which do not require root.
class AppleEnergy:
    """zeus-apple-silicon's cumulative counters: CPU, GPU, its SRAM, Neural Engine and DRAM.

    They come from the chip's energy model and not from a sensor: hence ``estimate``. They cover the
    work of all programs on the chip, without the display, the drive and the power supply's loss.
    """

    name = "apple"
    quality: str = Quality.ESTIMATE

    def __init__(self, monitor: Any) -> None:
        """Read ``monitor``, an ``AppleEnergyMonitor``, or an `Unknown` in its place."""
        self._monitor = monitor

    def read(self, target: Target = MACHINE) -> Counts | Unknown:  # noqa: ARG002
        """``cpu``, ``gpu``, ``gpu_sram``, ``ane`` and ``dram``, where the chip has them."""
        if isinstance(self._monitor, Unknown):
            return self._monitor
        found = require(apple.energy_mj(self._monitor.get_cumulative_energy()))
        return {domain: Count(each / 1e3) for domain, each in found.items()}


def available_counters(reader: Reader | None = None) -> list[EnergyCounter]:
    """The counters that can exist on this system; each reports why it cannot be read.

    Their domains do not overlap: a processor's package and its memory, discrete GPUs, Apple's chip.
    """
    reader = reader or Reader()
    if reader.macos:
        return [AppleEnergy(apple.open_energy_monitor())]
    return [Rapl(reader), NvmlEnergy(nvml.shared())]
