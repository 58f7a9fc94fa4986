"""Two runs compared, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.api.options import check_numbers
from mac_whisper_speedtest.api.results import Results, StrPath
from mac_whisper_speedtest.compare import compare as between
from mac_whisper_speedtest.compare import regressions, sources
from mac_whisper_speedtest.compare.document import CellChange, Compared
from mac_whisper_speedtest.leaderboard import notebook
from mac_whisper_speedtest.report import comparison_markdown


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared, with the statistics and words of ``speedtest compare``.

    Attributes:
        document: everything, as ``speedtest compare --format json`` writes it.
    """

    document: Compared

    @property
    def cells(self) -> list[CellChange]:
        """What became of each cell."""
        return self.document.cells

    @property
    def regressions(self) -> list[str]:
        """What ``fail_on`` found, in words; empty when nothing got worse."""
        return [f"{each.cell}: {each.message}" for each in self.document.regressions]

    def to_markdown(self) -> str:
        """The comparison for a pull request."""
        return comparison_markdown.render(self.document)

    def __repr__(self) -> str:
        base, new = self.document.base.label, self.document.new.label
        found = ", ".join(
            f"{cell.name} {cell.speed.verdict if cell.speed else cell.state}" for cell in self.cells
        )
        return f"<Comparison of runs {base} and {new}: {found}>"

    def _repr_html_(self) -> str:
        return notebook.of_comparison(self.document)


def compare(
    base: Results | StrPath | int,
    new: Results | StrPath | int = "latest",
    *,
    margin: float | None = None,
    anyway: bool = False,
    fail_on: str | Sequence[str] = (),
) -> Comparison:
    """Compare two runs cell by cell, as ``speedtest compare`` does.

    Args:
        base: what is compared with: a run, its name, or ``previous-comparable``.
        new: what is judged.
        margin: the relative difference in speed below which nothing counts, such as 0.03.
        anyway: also compare what is not comparable.
        fail_on: ``slower``, ``wrong``, ``memory``, ``energy``: what belongs into ``regressions``.

    Raises:
        UsageError: there is no such run, or the two cannot be compared.
        StorageError: a run cannot be read.
    """
    check_numbers({"margin": margin})
    wanted = regressions.kinds([fail_on] if isinstance(fail_on, str) else fail_on)
    judged = new.source if isinstance(new, Results) else sources.load(str(new))
    if isinstance(base, Results):
        against = base.source
    elif base == sources.PREVIOUS:
        against = sources.load_previous_comparable(judged.run.manifest)
    else:
        against = sources.load(str(base))
    found = between.compare(against, judged, margin=margin, anyway=anyway)
    return Comparison(regressions.judged(found, wanted))
