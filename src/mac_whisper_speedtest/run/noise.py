"""This machine's noise: one cell measured against itself, as two alternating cells."""

from __future__ import annotations

from dataclasses import replace

from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.stats import stopping
from mac_whisper_speedtest.stats.stopping import NoiseFloor
from mac_whisper_speedtest.summary import ranking

QUICK_ROUNDS = 6
ROUNDS = 20
"""Twenty rounds determine a spread to a factor of about 1.5 (the 95 % interval of a standard
deviation is 0.76 to 1.46 times it); six only to a factor of more than two."""


def duplicate_cell(prepared: Prepared) -> Prepared:
    """The first cell that can be measured, as two identical ones.

    Raises:
        SpeedtestError: no cell can be measured; the message has the reason of the first one.
    """
    usable = [cell for cell in prepared.cells if cell.id not in prepared.unavailable]
    if not usable:
        reason = next(iter(prepared.unavailable.values()))
        raise SpeedtestError(
            f"no cell to measure the noise with: {reason}",
            hint="see speedtest check-models and speedtest backends list",
        )
    chosen = usable[0]
    pair = [replace(chosen, id=f"{chosen.id}#{number}") for number in (1, 2)]
    weights = {cell.id: prepared.weights[chosen.id] for cell in pair}
    request = replace(prepared.request, backends=(chosen.backend.label,), models=(chosen.model,))
    return replace(prepared, request=request, cells=pair, weights=weights, unavailable={})


def noise_floor(run: s.Run) -> NoiseFloor | None:
    """The noise floor of a run of `duplicate_cell`; ``None`` below three common rounds."""
    rtf = ranking.compare(run).rtf
    if len(rtf) < 2:
        return None
    first, second = rtf.values()
    return stopping.noise_floor(first, second)
