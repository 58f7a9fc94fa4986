"""The JSON that ``hyperfine --export-json`` writes, so that its plotting scripts read ours."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator

from mac_whisper_speedtest.compare.document import CellChange, Compared


def render(compared: Compared) -> str:
    """``{"results": [...]}`` with two results per compared cell: base and new.

    Times are seconds for all of the cell's speech, one per round. hyperfine tells user from system
    time, this tool does not: ``user`` is both together and ``system`` 0; where processor time is
    not known both are 0.
    """
    found = [result for cell in compared.cells for result in _results(cell)]
    return json.dumps({"results": found}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _results(cell: CellChange) -> Iterator[dict[str, object]]:
    speed = cell.speed
    if speed is None:
        return
    sides = (
        ("base", cell.base_backend, cell.base_version, speed.base_rounds, speed.base_processor),
        ("new", cell.new_backend, cell.new_version, speed.new_rounds, speed.new_processor),
    )
    for side, backend, version, rounds, processor in sides:
        times = [rtf * cell.audio_s for rtf in rounds]
        named = f"{backend} {version or ''}".strip()
        yield {
            "command": f"{named} {cell.model} on {cell.clip} ({side})",
            "mean": statistics.fmean(times),
            "stddev": statistics.stdev(times) if len(times) > 1 else None,
            "median": statistics.median(times),
            "user": processor * cell.audio_s if processor is not None else 0.0,
            "system": 0.0,
            "min": min(times),
            "max": max(times),
            "times": times,
            "exit_codes": [0] * len(times),
            "parameters": {
                "backend": cell.backend,
                "version": version or "",
                "model": cell.model,
                "clip": cell.clip,
                "run": side,
            },
        }
