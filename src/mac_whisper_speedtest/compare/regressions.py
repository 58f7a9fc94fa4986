"""What of a comparison is bad enough to fail a build: pure functions of the comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from mac_whisper_speedtest.compare import quantities
from mac_whisper_speedtest.compare.document import (
    FAILED,
    MISSING,
    CellChange,
    Compared,
    QuantityChange,
    Regression,
)
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.stats.verdict import Verdict

SLOWER, WRONG, MEMORY, ENERGY = "slower", "wrong", "memory", "energy"
KINDS = (SLOWER, WRONG, MEMORY, ENERGY)
"""What ``--fail-on`` may name."""

_BROKEN = "failed"
_NEEDS_AN_END = {SLOWER, WRONG}
"""Who asks for these asks for a cell that comes to an end."""


def kinds(texts: Sequence[str]) -> list[str]:
    """The kinds in ``--fail-on``, which may be given more than once and hold commas.

    Raises:
        UsageError: one is not known.
    """
    wanted = [each.strip().lower() for text in texts for each in text.split(",")]
    for each in wanted:
        if each not in KINDS:
            raise UsageError(
                f"--fail-on is {each!r}", hint=f"say one or more of {', '.join(KINDS)}"
            )
    return [each for each in KINDS if each in wanted]


def judged(compared: Compared, wanted: Sequence[str]) -> Compared:
    """The comparison with everything in it that ``--fail-on`` asks to fail on.

    AMBIGUOUS and ``unclear`` never fail: they say that more rounds are needed.
    """
    found = [each for cell in compared.cells for each in _of_cell(cell, wanted)]
    return msgspec.structs.replace(compared, fail_on=list(wanted), regressions=found)


def _of_cell(cell: CellChange, wanted: Collection[str]) -> Iterator[Regression]:
    if cell.state in {FAILED, MISSING} and cell.base_status == "ok":
        if _NEEDS_AN_END & set(wanted):
            gone = "it is not in the new run" if cell.state == MISSING else cell.message
            yield Regression(
                cell=cell.name, kind=_BROKEN, message=f"it was measured in the base, and now {gone}"
            )
        return
    if SLOWER in wanted and cell.speed is not None and cell.speed.verdict == Verdict.SLOWER:
        assert cell.speed.ratio is not None  # without one it is AMBIGUOUS
        ratio = cell.speed.ratio
        yield Regression(
            cell=cell.name,
            kind=SLOWER,
            message=f"it takes {ratio.estimate:.3f} times as long ({ratio.low:.3f}–"
            f"{ratio.high:.3f})",
        )
    accuracy = cell.accuracy
    if WRONG in wanted and accuracy is not None and accuracy.verdict == "worse":
        assert accuracy.delta is not None
        yield Regression(
            cell=cell.name,
            kind=WRONG,
            message=f"its {(accuracy.metric or '').upper()} rose by {accuracy.delta * 100:.1f} "
            f"points from {accuracy.base_rate:.1%} to {accuracy.new_rate:.1%}",
        )
    for each in cell.quantities:
        if each.kind in {MEMORY, ENERGY} & set(wanted) and each.verdict == quantities.MORE:
            yield Regression(cell=cell.name, kind=each.kind, message=_grown(each))


def _grown(quantity: QuantityChange) -> str:
    assert quantity.ratio is not None  # without one there is no verdict
    return (
        f"its {quantity.name} grew {quantity.ratio.estimate:.2f} times "
        f"({quantity.ratio.low:.2f}–{quantity.ratio.high:.2f}; the margin is {quantity.margin:.0%})"
    )
