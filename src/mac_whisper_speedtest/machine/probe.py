"""The interface of every probe: asked just before and just after a span, never inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure, or why there is none.

    Attributes:
        value: the figure; ``None`` where it is not known.
        unit: ``s``, ``bytes``, ``cores``, ``J``, ``W`` and the like.
        reason: why it is not known; empty where it is.
        quality: how far it can be trusted where that is not fully: ``upper bound``, ``estimate``.
    """

    value: float | None
    unit: str
    reason: str = ""
    quality: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is metered: the process tree below ``pid``, or only the machine where it is ``None``."""

    pid: int | None


class Probe(Protocol):
    """Something that is metered over a span. Used for one span after the other, in one thread."""

    name: str

    def begin(self, target: Target) -> None:
        """Look before the span. Never raises; what fails is a reason in what `end` gives."""

    def end(self, target: Target) -> dict[str, Reading]:
        """Look after the span, and give every figure by its name. Never raises."""


def unmeasured(units: Mapping[str, str], reason: str) -> dict[str, Reading]:
    """The same reason for all figures of a probe, whose units are given by their names."""
    return {name: Reading(None, unit, reason) for name, unit in units.items()}
