"""From counters to joules per hour of audio. Nothing here asks a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.machine.probe import Reading
from mac_whisper_speedtest.machine.reader import Unknown

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
class Energy:
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


def spent(windows: Sequence[Window], idle: Window | Unknown, audio_s: float) -> Energy:
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
        return Energy(Reading(None, "J/h", reason), power, power)
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
        return Energy(Reading(None, "J/h", why), power, rest, domains)
    flags = [_quality(windows, idle)]
    if above < NEAR_IDLE_SHARE * rest_j:
        flags.append("near idle")
    quality = ", ".join(filter(None, flags))
    per_hour = Reading(_HOUR_S * above / audio_s, "J/h", quality=quality)
    return Energy(per_hour, power, rest, domains)


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
