"""From a request to cells and rounds: pure functions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.catalog import ModelInfo
from mac_whisper_speedtest.request import Request

MAX_TIME_S = 120.0
MAX_TIME_PER_AUDIO = 5.0
"""Default time limit of a cell: two minutes, and more for long audio, so that a backend that
transcribes in real time or faster gets at least five passes."""

MAX_RETAKEN_ROUNDS = 2
"""Rounds retaken because the machine was disturbed in them. Without a limit, a run on a machine
that is always disturbed would not end."""


def passes(requested: int, recordings: int) -> int:
    """Timed passes over the speech in a process: as requested, else two, or one of a set.

    A set has a sample of every recording in each pass, so one pass is enough to measure the spread.
    """
    return requested or (2 if recordings == 1 else 1)


def time_limit_s(request: Request, audio_s: float) -> float:
    """Seconds that one cell may take in total: as requested, else by the audio's duration.

    There is no default limit if ``--budget`` or ``--ci-width`` ends the run.
    """
    if request.max_time_s is not None:
        return request.max_time_s
    if request.limited_otherwise:
        return math.inf
    return max(MAX_TIME_S, MAX_TIME_PER_AUDIO * audio_s)


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure; ``id`` is unique in a run."""

    id: str
    backend: Backend
    info: ModelInfo
    clip: str

    @property
    def model(self) -> str:
        """The canonical name of the network, or ``org/name@REVISION``."""
        return self.info.model


def cells(
    models: Sequence[str], backends: Sequence[Backend], clip: str, precision: str = "auto"
) -> list[Cell]:
    """Every backend with every model on the clip, in the requested order.

    A backend other than Whisper runs its own network once, next to the Whisper models; a network of
    another family concerns only the backends of that family.

    Args:
        models: canonical names, or ``org/name@REVISION``.
        backends: what to measure them with.
        clip: the name of the speech.
        precision: what the run computes in.
    """
    found: dict[str, Cell] = {}
    for model in models:
        for backend in backends:
            network = backend.network_for(model)
            if network is not None:
                name = f"{backend.label}/{network}/{clip}"
                info = backend.model_info(model, precision)
                found.setdefault(name, Cell(id=name, backend=backend, info=info, clip=clip))
    return list(found.values())


def schedule(ids: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """Each round visits every cell once, in a new order; the seed determines all of them.

    Interleaving keeps a machine's drift (heat, other jobs) from falling on one backend alone; see
    docs/explanation/method.md.
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
    """The time left for one cell, shared evenly over the rounds that remain.

    ``samples`` counts the cell's timed passes, ``visits`` its finished rounds and ``spent_s`` their
    seconds; the callers add to all three. A resumed run continues with its earlier values.

    A cell always gets ``MINIMUM_SAMPLES`` timed passes at any cost: a single number has no
    spread.
    """

    limit_s: float
    rounds: int
    spent_s: float = 0.0
    samples: int = 0
    visits: int = 0

    MINIMUM_SAMPLES: ClassVar[int] = 2

    @property
    def round_s(self) -> float:
        """Mean seconds of a round so far."""
        return self.spent_s / self.visits if self.visits else 0.0

    def round_worthwhile(self) -> bool:
        """Whether to start another round at all."""
        return self.samples < self.MINIMUM_SAMPLES or self.spent_s < self.limit_s

    def share_s(self, round_index: int) -> float:
        """The seconds that round ``round_index`` (from 0) may take."""
        return max(self.limit_s - self.spent_s, 0.0) / max(self.rounds - round_index, 1)

    def another_sample(self, round_index: int, *, in_round: int, elapsed_s: float) -> bool:
        """Whether a round that took ``elapsed_s`` for ``in_round`` timed passes takes another.

        Every round takes at least one; the last round completes the minimum.
        """
        last = round_index == self.rounds - 1
        if in_round == 0 or (last and self.samples < self.MINIMUM_SAMPLES):
            return True
        per_sample = elapsed_s / (in_round + 1)
        return elapsed_s + per_sample <= self.share_s(round_index)

    def room_for(self, round_index: int, *, cost_s: float, elapsed_s: float) -> bool:
        """Whether a round that took ``elapsed_s`` may spend ``cost_s`` more on a retake."""
        return elapsed_s + cost_s <= self.share_s(round_index)
