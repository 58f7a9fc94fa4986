"""Weights that a worker could not load: read again, and put right where that was asked for."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.plan import Cell
from mac_whisper_speedtest.run.prepare import Prepared, weights_of
from mac_whisper_speedtest.weights import locate, repair
from mac_whisper_speedtest.weights.repair import DamagedError
from mac_whisper_speedtest.weights.weights import Weights
from mac_whisper_speedtest.worker import protocol as m
from mac_whisper_speedtest.worker.endings import Status


@dataclass(slots=True)
class Mender:
    """Looks after the weights of a run's cells while it runs.

    ``spent_s`` is the time it has taken since it was last set to zero: no part of what a cell's
    time is for.
    """

    prepared: Prepared
    announce: Callable[[str], None]
    spent_s: float = 0.0
    read: set[str] = field(default_factory=set)

    def concerns(self, cell: Cell, ended: s.WorkerEnded) -> bool:
        """Whether to read the weights again: a load failed, for the first time in this cell."""
        return (
            self.prepared.request.repair
            and ended.stage == m.Stage.LOAD
            and ended.status in {Status.FAILED, Status.CRASHED}
            and cell.id not in self.read
        )

    def read_again(self, cell: Cell) -> tuple[str, DamagedError | None]:
        """What is found of a cell's weights and of what they were made from: words, and damage."""
        self.read.add(cell.id)
        began = time.monotonic()
        try:
            found = self._found_again(cell)
        except DamagedError as error:
            return error.message, error
        except (SpeedtestError, OSError) as error:  # whatever it is, it is one cell's
            words = f"its weights cannot be read again: {error}"
        else:
            words = "its weights were read again and are whole, so nothing was fetched"
            if found.files != self.prepared.weights[cell.id].files:
                words = "its weights are not those that it began with, and nobody publishes them"
        finally:
            self.spent_s += time.monotonic() - began
        self.announce(scrub(f"{cell.id}: {words}"))
        return words, None

    def mend(self, cell: Cell, damage: DamagedError) -> list[str]:
        """Put weights right; what was done, or nothing where that failed and the failure stands."""
        began = time.monotonic()
        done: list[str] = []
        try:
            self.prepared.weights[cell.id] = repair.repair(
                functools.partial(self._found_again, cell),
                announce=self.announce,
                done=done,
                known=damage,
            )
        except (SpeedtestError, OSError) as error:
            self.announce(scrub(f"{cell.id}: not repaired: {error}"))
            return []
        finally:
            self.spent_s += time.monotonic() - began
        return [scrub(text) for text in done]

    def _found_again(self, cell: Cell) -> Weights:
        official = functools.partial(locate.official, fresh=True)
        return weights_of(cell, self.prepared.request, official, announce=self.announce, fresh=True)
