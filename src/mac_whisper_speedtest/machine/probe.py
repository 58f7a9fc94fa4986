"""The interface of every probe: read just before and just after a span, never inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.declared import Doc, Word
from mac_whisper_speedtest.machine.reader import Unknown, require


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure, or the reason why it is missing.

    Attributes:
        value: ``None`` where it is not known.
        unit: for example ``s``, ``bytes``, ``cores``, ``J``, ``W``.
        reason: why it is not known; empty where it is.
        quality: a restriction on how far to trust it: words of `Quality`.
    """

    value: float | None
    unit: str
    reason: str = ""
    quality: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is metered: the process tree below ``pid``, or only the machine where it is ``None``.

    ``gpu`` is the NVIDIA GPU that the worker names as its own.
    """

    pid: int | None
    gpu: UsedGpu | None = None

    @property
    def worker(self) -> int:
        """Its process id, inside of `attempt`. Raises UnknownFactError if there is none."""
        return require(Unknown("there is no worker to meter") if self.pid is None else self.pid)


MACHINE = Target(None)


class Probe(Protocol):
    """Something that is metered over spans, one after the other, in one thread."""

    name: str

    def begin(self, target: Target) -> None:
        """Read before the span. Never raises: `end` returns the reason of a failure."""

    def end(self, target: Target) -> dict[str, Reading]:
        """Read after the span, and return every figure by its name. Never raises."""


class Quality(Word):
    """How far to trust a reading or a figure; several are joined by commas."""

    UPPER_BOUND = "upper bound", "a sum of peaks that need not have been reached at once"
    CONTROL_GROUP = "whole control group", "not the worker's alone: its whole control group"
    DEVICE_TOTAL = "device total", "not the worker's alone: the rise on its GPU, by all programs"
    ESTIMATE = "estimate", "energy by the chip's own model, not by a sensor"
    SAMPLED = "sampled", "the sensor behind the counter is read only now and then"
    COARSE = "coarse", "energy of a window below 5 s"
    NEAR_IDLE = "near idle", "the work added less than 10 % to what the idle machine takes"


def unmeasured(figures: Mapping[str, Doc], reason: str) -> dict[str, Reading]:
    """The same reason for all figures of a probe, which are declared by name."""
    return {name: Reading(None, figure.unit, reason) for name, figure in figures.items()}
