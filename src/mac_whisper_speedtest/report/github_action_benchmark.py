"""The JSON that github-action-benchmark reads as ``customSmallerIsBetter``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from mac_whisper_speedtest.compare.document import CellChange, Compared, QuantityChange


def render(compared: Compared) -> str:
    """A list of ``{name, unit, value, range, extra}`` of the new run, smaller being better.

    The action keeps its own history and compares with that, so only the new run is in it. Names
    hold no version: a release continues the line of the one before. Its documentation:
    github.com/benchmark-action/github-action-benchmark, "customSmallerIsBetter".
    """
    found = [entry for cell in compared.cells for entry in _entries(cell)]
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _entries(cell: CellChange) -> Iterator[dict[str, object]]:
    if cell.speed is None:
        return
    speed, ratio = cell.speed, cell.speed.ratio
    version = f"{cell.new_backend} {cell.new_version or ''}".strip()
    extra = [version, f"speed: {speed.verdict}"]
    if ratio is not None:
        extra.append(f"time new/base: {ratio.estimate:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    half = (max(speed.new_rounds) - min(speed.new_rounds)) / 2
    yield {
        "name": f"{cell.name}: RTF",
        "unit": "s per audio s",
        "value": speed.new_rtf,
        "range": f"± {half:.3g}",
        "extra": "\n".join(extra),
    }
    accuracy = cell.accuracy
    if accuracy is not None and accuracy.new_rate is not None:
        yield {
            "name": f"{cell.name}: {(accuracy.metric or 'error rate').upper()}",
            "unit": "%",
            "value": accuracy.new_rate * 100,
            "extra": f"{version}\naccuracy: {accuracy.verdict or accuracy.how}",
        }
    for quantity in cell.quantities:
        if quantity.new is not None:
            yield _quantity(cell, quantity, version)


def _quantity(cell: CellChange, quantity: QuantityChange, version: str) -> dict[str, object]:
    megabytes = quantity.unit == "byte"
    return {
        "name": f"{cell.name}: {quantity.name}",
        "unit": "MB" if megabytes else quantity.unit,
        "value": quantity.new / 1e6 if megabytes and quantity.new is not None else quantity.new,
        "extra": f"{version}\n{quantity.verdict or quantity.reason}",
    }
