"""Runs to compare: cells whose speed in every round, texts, memory and energy are given."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fakes.made_runs import AUDIO_S, Fake, Made, made
from fakes.worlds import Machine, World
from mac_whisper_speedtest.compare.sources import RunSource
from mac_whisper_speedtest.results import schema as s

ROUNDS = 8
STEADY = tuple(0.1 * each for each in (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.0))
"""RTF of a machine that hardly varies."""


@dataclass(frozen=True)
class Cell:
    """A cell of a run.

    Attributes:
        rtf: processing seconds per audio second, one per round.
        said: its text of each recording; the right one where nothing is said.
        version: of the backend.
        peak_bytes: of every process.
        joules: per audio second, above idle; ``None``: no counter.
        fails: the message of its failure; empty: it does not fail.
        settings: effective ones that are not as the contract asks.
    """

    rtf: Sequence[float] = STEADY
    said: Mapping[str, str] = field(default_factory=dict)
    version: str = "1.0"
    peak_bytes: int = 300_000_000
    joules: float | None = None
    fails: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


def run_of(
    cells: Mapping[str, Cell],
    *,
    number: int = 1,
    canary_s: Sequence[float] = (),
    values: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    **changes: Any,
) -> Made:
    """A run of these cells.

    Args:
        cells: by the backend's name.
        number: of the run.
        canary_s: what the canary took after each round.
        values: the machine's conditions.
        tags: of the run.
        changes: fields of the manifest that are other than usual.
    """
    rounds = max(len(each.rtf) for each in cells.values())
    fakes = {name: Fake(fails=each.fails, said=each.said) for name, each in cells.items()}
    plain = made(fakes, number=number, rounds=rounds, runs=1, tags=list(tags))
    by_id = {plan.id: cells[plan.backend] for plan in plain.manifest.cells}
    events: list[s.Event] = []
    for event in plain.events[:-1]:
        events += _as(by_id, event)
    looked = s.ConditionsInfo(values=dict(values or {}))
    events += [
        s.RoundWatched(round=each, before=looked, after=looked, canary_after_s=seconds)
        for each, seconds in enumerate(canary_s)
    ]
    events.append(plain.events[-1])
    return Made(msgspec.structs.replace(plain.manifest, **changes), events)


def source(made_run: Made) -> RunSource:
    """The run as something to compare."""
    return RunSource(str(made_run.manifest.run), made_run.run, None)


def rounds_of(
    world: World, speed: float = 1.0, *, seed: int = 0, rounds: int = ROUNDS
) -> list[float]:
    """The RTF of a cell that takes 0.1 × ``speed``, as a world disturbs it."""
    machine = Machine(world, [0.1 * speed], random.Random(seed))
    machine.measure(rounds)
    return list(machine.rtf["cell 0"].values())


def _as(cells: Mapping[str, Cell], event: s.Event) -> Iterator[s.Event]:
    """An event of a plain run as the cell's own."""
    if isinstance(event, s.Loaded):
        yield msgspec.structs.replace(event, version=cells[event.cell].version)
    elif isinstance(event, s.Effective):
        values = {**event.values, **cells[event.cell].settings}
        yield msgspec.structs.replace(event, values=values)
    elif isinstance(event, s.Sample):
        cell = cells[event.cell]
        if event.round < len(cell.rtf):
            seconds = cell.rtf[event.round] * AUDIO_S
            yield msgspec.structs.replace(
                event, seconds=seconds, wall_s=seconds, peak_rss_bytes=cell.peak_bytes
            )
    elif isinstance(event, s.WorkerEnded):
        cell = cells[event.cell]
        if cell.joules is not None:
            yield _metered(event, cell.joules)
        yield event
    else:
        yield event


def _metered(event: s.WorkerEnded, joules: float) -> s.Metered:
    """Ten seconds of 20 W above an idle machine's 5 W, or whatever ``joules`` come to."""
    audio_s = 2 * AUDIO_S
    idle_w, window_s = 5.0, 10.0
    readings = {
        "energy_wall_s": s.ReadingInfo(value=window_s, unit="s"),
        "energy_j": s.ReadingInfo(value=idle_w * window_s + joules * audio_s, unit="J"),
        "energy_cpu_j": s.ReadingInfo(value=idle_w * window_s + joules * audio_s, unit="J"),
        "idle_energy_wall_s": s.ReadingInfo(value=5.0, unit="s"),
        "idle_energy_cpu_j": s.ReadingInfo(value=5 * idle_w, unit="J"),
    }
    return s.Metered(
        cell=event.cell,
        round=event.round,
        attempt=event.attempt or 0,
        audio_s=audio_s,
        wall_s=window_s,
        readings=readings,
    )
