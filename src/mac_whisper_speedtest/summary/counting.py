"""Which samples are in a cell's medians, as one answer for those who list samples."""

from __future__ import annotations

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import samples


def counted(run: s.Run, cell: s.CellResult) -> list[s.SampleResult]:
    """The samples that the cell's medians and intervals are made of: the objects themselves.

    Timed ones of last attempts with a text, without what was taken again and without rounds that
    others stand in for.
    """
    left_out = samples.replaced_rounds(cell, run.rounds)
    timed = (each for each in samples.timed(cell) if not each.failed)
    return [each for each in timed if each.round not in left_out]
