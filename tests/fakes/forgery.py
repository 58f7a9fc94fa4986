"""Boards of honest bundles, and forgers who make one backend look faster in some of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fakes.parks import machine
from fakes.runs import FakeCell, FakeRun, times_of
from mac_whisper_speedtest.leaderboard import build, intake
from mac_whisper_speedtest.leaderboard.build import Leaderboard
from mac_whisper_speedtest.results import schema as s

BACKENDS = ("openai-whisper", "whisper.cpp", "mlx-whisper", "faster-whisper", "whisperx")


def honest(rnd: random.Random, bundles: int, backends: int) -> list[FakeRun]:
    """Runs of machines of one kind: some are slower, and each backend varies a little on each."""
    rtf = {name: rnd.uniform(0.02, 0.5) for name in BACKENDS[:backends]}
    return [
        machine(
            number,
            times=rnd.choice([1.0, 1.0, 1.0, rnd.uniform(0.9, 1.5)]),
            backends=[
                FakeCell(name, rtf=each * math.exp(rnd.gauss(0, 0.03)))
                for name, each in rtf.items()
            ],
            rounds=rnd.choice([3, 6]),
            passes=2,
        )
        for number in range(1, bundles + 1)
    ]


def _of(
    backend: str, events: list[s.Event], change: Callable[[s.Sample], s.Sample]
) -> list[s.Event]:
    return [
        change(each)
        if isinstance(each, s.Sample) and each.cell.startswith(f"{backend}/") and not each.failed
        else each
        for each in events
    ]


def divided(run: FakeRun, backend: str, factor: float) -> FakeRun:
    """All times of a backend, and the journal's, so that nothing in the run contradicts it."""

    def change(sample: s.Sample) -> s.Sample:
        return msgspec.structs.replace(
            sample, seconds=sample.seconds / factor, wall_s=sample.wall_s / factor
        )

    return FakeRun(run.manifest, _of(backend, run.events, change))


def own_clock(run: FakeRun, backend: str, factor: float) -> FakeRun:
    """Only what the worker says of itself."""

    def change(sample: s.Sample) -> s.Sample:
        return msgspec.structs.replace(sample, seconds=sample.seconds / factor)

    return FakeRun(run.manifest, _of(backend, run.events, change))


def journal_kept(run: FakeRun, backend: str, factor: float) -> FakeRun:
    """All times of a backend, but not when the journal's lines were written."""
    forged = divided(run, backend, factor)
    return FakeRun(forged.manifest, forged.events, at_s=times_of(run.events))


def processor_kept(run: FakeRun, backend: str, factor: float) -> FakeRun:
    """All times of a backend, but not its processor time on most of the machine's cores."""
    cores = run.manifest.machine.logical_cores
    assert cores is not None

    def change(sample: s.Sample) -> s.Sample:
        return msgspec.structs.replace(sample, cpu_s=sample.wall_s * cores * 0.9)

    kept = FakeRun(run.manifest, _of(backend, run.events, change))
    return divided(kept, backend, factor)


def invented(run: FakeRun, backend: str, factor: float) -> FakeRun:
    """One time for all."""
    seconds = [
        each.seconds
        for each in run.events
        if isinstance(each, s.Sample) and each.cell.startswith(f"{backend}/")
    ]

    def change(sample: s.Sample) -> s.Sample:
        return msgspec.structs.replace(
            sample, seconds=seconds[0] / factor, wall_s=seconds[0] / factor
        )

    return FakeRun(run.manifest, _of(backend, run.events, change))


SELF_CONTRADICTING = (own_clock, journal_kept, processor_kept, invented)
"""Forgeries that need no peers to be found."""


@dataclass(frozen=True)
class Named:
    """What a leaderboard says of bundles.

    Attributes:
        left_out: (bundle, backend) of cells that count in no figure.
        slower: bundles of which a cell is called slower than its peers.
        disputed: backend → names of the bundles that are faster.
        refused: names of files.
    """

    left_out: set[tuple[str, str]]
    slower: set[str]
    disputed: Mapping[str, tuple[str, ...]]
    refused: set[str]


def board_of(runs: list[FakeRun], folder: Path) -> tuple[Leaderboard, Named]:
    """The leaderboard of these runs' directories, and whom it names."""
    paths = [run.write(folder / f"{number}") for number, run in enumerate(runs)]
    found = intake.read_bundles(paths)
    board = build.build_leaderboard(found.accepted)
    rows = [row for each in board.boards for group in each.groups for row in group.rows]
    left_out = {(out.bundle, row.configuration.backend) for row in rows for out in row.left_out}
    return board, Named(
        left_out=left_out,
        slower={
            member.name
            for kind in board.classes
            for member in kind.members
            if member.odd and member.name not in {bundle for bundle, _ in left_out}
        },
        disputed={
            row.configuration.backend: row.dispute.fast for row in rows if row.dispute is not None
        },
        refused={each.name for each in found.refused},
    )
