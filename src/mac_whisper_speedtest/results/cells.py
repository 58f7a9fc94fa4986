"""A cell as people read it: its name, rank, order, error rate and status, as plain text.

Terminal, HTML, Markdown, leaderboard and CI formats only dress these texts, so that the same run
reads the same everywhere. They are here and not in ``report``, because ``compare`` and ``export``
show cells too and import nothing of ``report``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mac_whisper_speedtest.results.schema import Bounds, CellResult, ClipInfo, Summary

MISSING = "–"
"""Where there is nothing to show."""
FIRST_GROUP = "A"
"""The group whose ranks have no letter."""
OK, FAST_BUT_WRONG = "ok", "fast but wrong"
"""The status without failures, and what is shown in its place for a cell that is too inaccurate."""

_Key = TypeVar("_Key", bound=Hashable)


# Names.


def without_version(backend: str) -> str:
    """A backend's name without the version that was requested, with its precision.

    ``faster-whisper@1.2.1:int8`` and ``faster-whisper:int8`` are both ``faster-whisper:int8``.
    """
    name, colon, precision = backend.partition(":")
    return name.partition("@")[0] + colon + precision


def backend_name(requested: str, version: str | None, precision: str | None) -> str:
    """A backend as requested, then the effective version and precision that this does not state.

    ``faster-whisper`` is shown as ``faster-whisper 1.2.1 int8``, ``faster-whisper@1.2.1`` as
    ``faster-whisper@1.2.1 int8``, ``faster-whisper:int8`` as ``faster-whisper:int8 1.2.1``; where
    float32 was effective instead, as ``faster-whisper:int8 1.2.1 float32``.
    """
    name, _, requested_precision = requested.partition(":")
    requested_version = name.partition("@")[2]
    found = [
        effective
        for effective, stated in ((version, requested_version), (precision, requested_precision))
        if effective and effective != stated
    ]
    return " ".join([requested, *found])


def name_of(cell: CellResult) -> str:
    """The cell's backend with version and precision; see :func:`names_of` for unique names."""
    return backend_name(cell.backend.name, cell.backend.version, cell.backend.precision)


def names_of(cells: Sequence[CellResult]) -> dict[str, str]:
    """Cell id → a name that no other of these cells has; the cells are of one table."""
    return distinct({cell.id: (name_of(cell), f"{name_of(cell)} ({cell.id})") for cell in cells})


def names_of_run(cells: Sequence[CellResult]) -> dict[str, str]:
    """:func:`names_of` for every table of a run."""
    return {key: name for table in by_table(cells) for key, name in names_of(table).items()}


def labels_of(cells: Sequence[CellResult]) -> dict[str, str]:
    """Cell id → a name that no other cell of the run has; ``cells`` are all of its cells."""
    models = len({cell.model.name for cell in cells}) > 1
    clips = len({cell.clip.name for cell in cells}) > 1
    variants = {}
    for cell in cells:
        parts = [name_of(cell)]
        parts += [cell.model.name] if models else []
        parts += [f"on {cell.clip.name}"] if clips else []
        label = ", ".join(parts)
        # Of one backend measured against itself, as by `speedtest noise`, only the ids differ.
        variants[cell.id] = (label, f"{label} ({cell.id})")
    return distinct(variants)


def distinct(variants: Mapping[_Key, Sequence[str]]) -> dict[_Key, str]:
    """Key → its first variant; keys whose text another has too take their next variant.

    Args:
        variants: key → texts, the shortest first; as many for every key.
    """
    found = {key: texts[0] for key, texts in variants.items()}
    for level in range(1, max(map(len, variants.values()), default=1)):
        counts = Counter(found.values())
        found = {
            key: variants[key][level] if counts[text] > 1 else text for key, text in found.items()
        }
    return found


# Tables: which cells stand together, and in which order.


def summary_of(cell: CellResult) -> Summary:
    """A cell's figures. Raises ValueError where they were not computed."""
    if cell.summary is None:
        raise ValueError(f"the run was not summarized: {cell.id} has no figures")
    return cell.summary


@dataclass(frozen=True, slots=True)
class CellTable:
    """The cells of one model on one clip.

    Attributes:
        name: unique in its run: ``t0``, ``t1``, ...
        model: the model's name.
        clip: the speech.
        cells: by group, in it by time; cells without figures come last.
        names: cell id → a name that is unique here.
    """

    name: str
    model: str
    clip: ClipInfo
    cells: Sequence[CellResult]
    names: Mapping[str, str]

    @property
    def title(self) -> str:
        """The model and what it was measured on."""
        return f"{self.model} on {self.clip.name}"

    def groups(self) -> list[list[CellResult]]:
        """The cells that did equal work, best group first; unranked cells are the last group."""
        found: dict[str | None, list[CellResult]] = {}
        for cell in self.cells:
            found.setdefault(summary_of(cell).group, []).append(cell)
        return list(found.values())


def tables_of(cells: Sequence[CellResult]) -> list[CellTable]:
    """A table per model and clip, in the order of the cells; tables without figures come last."""
    found = by_table(cells)
    found.sort(key=lambda table: all(summary_of(cell).median_s is None for cell in table))
    return [
        CellTable(
            f"t{number}",
            table[0].model.name,
            table[0].clip,
            sorted(table, key=_order),
            names_of(table),
        )
        for number, table in enumerate(found)
    ]


def by_table(cells: Sequence[CellResult]) -> list[list[CellResult]]:
    """The cells of each model and clip, in their order."""
    found: dict[tuple[str, str], list[CellResult]] = {}
    for cell in cells:
        found.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    return list(found.values())


def _order(cell: CellResult) -> tuple[bool, str, float, str]:
    summary = summary_of(cell)
    return (summary.group is None, summary.group or "", summary.median_s or 0.0, cell.id)


# What stands in the columns.


def rank_text(rank: int | None, rank_last: int | None, group: str | None) -> str:
    """The ranks that the intervals leave open: 1, 2–3 for a tie, B1 in the second group."""
    if rank is None:
        return MISSING
    letter = "" if group in {None, FIRST_GROUP} else group
    last = rank_last or rank
    return f"{letter}{rank}" + (f"–{last}" if last != rank else "")


def rank_of(cell: CellResult) -> str:
    """:func:`rank_text` of a cell."""
    summary = summary_of(cell)
    return rank_text(summary.rank, summary.rank_last, summary.group)


def status_of(cell: CellResult) -> str:
    """How the cell ended: ``fast but wrong``, else its status."""
    return FAST_BUT_WRONG if summary_of(cell).fast_but_wrong else cell.status


def findings_of(cell: CellResult) -> str:
    """The kinds of its findings; empty without any."""
    return ", ".join(finding.kind for finding in summary_of(cell).findings)


def contract_of(cell: CellResult) -> str:
    """Whether it did the work that was requested, else in which settings it did not."""
    if not cell.contract.effective:
        return MISSING
    other = dict.fromkeys(each.setting.replace("_", " ") for each in cell.contract.deviations)
    return f"not kept: {', '.join(other)}" if other else "kept"


def percent(rate: float | None, digits: int = 1) -> str:
    """A rate as text."""
    return MISSING if rate is None else f"{rate:.{digits}%}"


def error_rate_text(rate: float | None, metric: str | None) -> str:
    """An error rate; where characters were counted it says so."""
    return percent(rate) + (" CER" if rate is not None and metric == "cer" else "")


def error_rate_of(cell: CellResult) -> str:
    """The error rate of a cell's whole speech."""
    found = summary_of(cell).accuracy
    return error_rate_text(found.rate, found.metric) if found else MISSING


def number_text(value: float | None, form: str, factor: float = 1.0) -> str:
    """A number, times ``factor`` where it is shown in another unit."""
    return MISSING if value is None else format(value * factor if factor != 1 else value, form)


def range_text(low: float | None, high: float | None, form: str) -> str:
    """Two ends: ``1.2–1.4``."""
    return MISSING if low is None or high is None else f"{low:{form}}–{high:{form}}"


def interval_text(value: float | None, low: float | None, high: float | None, form: str) -> str:
    """A number and its interval in brackets; without the brackets where it has none."""
    if value is None or low is None or high is None:
        return number_text(value, form)
    return f"{value:{form}} ({range_text(low, high, form)})"


def with_bounds(value: float | None, bounds: Bounds | None, form: str) -> str:
    """:func:`interval_text` of a figure of the summary."""
    if bounds is None:
        return number_text(value, form)
    return interval_text(value, bounds.low, bounds.high, form)


def counted(number: int, one: str, several: str = "") -> str:
    """``1 round``, ``2 rounds``; ``several`` where it takes more than an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def amount(rounds: int, runs: int, *, whole_set: bool) -> str:
    """How much was measured of each cell: ``6 rounds × 2 samples``."""
    each = ("pass", "passes") if whole_set else ("sample", "samples")
    return f"{counted(rounds, 'round')} × {counted(runs, *each)}"
