"""From a request to cells and rounds: pure functions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.contract import DecodeContract


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be measured, and how much of it.

    Attributes:
        models: canonical model names, or ``org/name@REVISION`` for others.
        backends: what to measure them with.
        explicit: whether the backends were named; then one that is missing is a failure.
        audio: the user's recording, or ``None`` for a built-in clip.
        clip: the built-in clip's name, or ``None`` for the default one.
        language: the language of ``audio``; ``None`` for the clip's own, else English.
        rounds: fresh processes per cell.
        runs: timed samples per process.
        seed: of the order in which cells are visited.
        threads: CPU threads for every backend.
        device: ``auto`` or a device name.
        precision: ``auto`` or what to compute in.
        max_time_s: time budget of one cell, over all rounds.
        timeout_s: one deadline for every stage instead of the size class's.
        retries: how often a failed round is tried again.
        fail_fast: stop at the first failure.
        max_failures: stop after this many failed cells.
        max_memory: memory limit of a worker, in bytes.
        strict: refuse to rank across any difference, in device and precision too.
        repair: clear damaged weights and fetch or make them once more.
    """

    models: tuple[str, ...]
    backends: tuple[Backend, ...]
    explicit: bool = False
    audio: Path | None = None
    clip: str | None = None
    language: str | None = None
    rounds: int = 3
    runs: int = 2
    seed: int = 0
    threads: int = 1
    device: str = "auto"
    precision: str = "auto"
    max_time_s: float = 60.0
    timeout_s: float | None = None
    retries: int = 0
    fail_fast: bool = False
    max_failures: int | None = None
    max_memory: int | None = None
    strict: bool = False
    repair: bool = False
    contract: DecodeContract = field(default_factory=DecodeContract)


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure; ``id`` is unique in a run."""

    id: str
    backend: Backend
    model: str
    clip: str


def cells(models: Sequence[str], backends: Sequence[Backend], clip: str) -> list[Cell]:
    """Every backend with every model on the clip, in the order asked for.

    A backend that is not Whisper runs its own network beside the Whisper models, once; a network of
    another family concerns only the backends of that family.
    """
    found: dict[str, Cell] = {}
    for model in models:
        for backend in backends:
            network = backend.network_for(model)
            if network is not None:
                name = f"{backend.label}/{network}/{clip}"
                found.setdefault(name, Cell(id=name, backend=backend, model=network, clip=clip))
    return list(found.values())


def schedule(ids: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """Each round visits every cell once, in an order shuffled anew by the seed.

    Interleaving keeps a machine's drift (heat, other jobs) from falling on one backend alone; see
    docs/methodology.md.
    """
    shuffler = random.Random(seed)  # noqa: S311 - an order, not a secret
    order = []
    for _ in range(rounds):
        visit = list(ids)
        shuffler.shuffle(visit)
        order.append(visit)
    return order


@dataclass(slots=True)
class Budget:
    """What is left of one cell's time, shared evenly over the rounds still to come.

    ``samples`` counts the cell's timed samples so far; whoever takes one adds it.
    ``spent_s`` counts finished rounds; whoever ends one adds it.

    A cell always gets ``MINIMUM_SAMPLES`` timed samples, whatever they cost: one number alone says
    nothing about its spread.
    """

    limit_s: float
    rounds: int
    spent_s: float = 0.0
    samples: int = 0

    MINIMUM_SAMPLES: ClassVar[int] = 2

    def round_worthwhile(self) -> bool:
        """Whether to start another round at all."""
        return self.samples < self.MINIMUM_SAMPLES or self.spent_s < self.limit_s

    def share_s(self, round_index: int) -> float:
        """The seconds that round ``round_index`` (from 0) may take."""
        return max(self.limit_s - self.spent_s, 0.0) / max(self.rounds - round_index, 1)

    def another_sample(self, round_index: int, *, in_round: int, elapsed_s: float) -> bool:
        """Whether a round that took ``elapsed_s`` for ``in_round`` timed samples takes another.

        Every round takes one, or it was for nothing; the last one makes the minimum full.
        """
        last = round_index == self.rounds - 1
        if in_round == 0 or (last and self.samples < self.MINIMUM_SAMPLES):
            return True
        per_sample = elapsed_s / (in_round + 1)
        return elapsed_s + per_sample <= self.share_s(round_index)
