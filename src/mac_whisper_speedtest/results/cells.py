"""A cell as text: its name, rank, order, error rate and status.

Terminal, HTML, Markdown, leaderboard and CI formats only style these texts, so that a run reads the
same everywhere. They are not in ``report``, because ``compare`` and ``export`` show cells too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mac_whisper_speedtest.backends.contract import OWN_LANGUAGE
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.request import first_rounds
from mac_whisper_speedtest.results.comparable import gpu_words
from mac_whisper_speedtest.results.schema import (
    AccuracyResult,
    Bounds,
    CellResult,
    ClipInfo,
    Run,
    Summary,
)

MISSING = "–"
"""Shown for a missing value."""
LONGEST_PART = 60
"""Characters of a version or a precision in a name, which every table and note repeats."""
LONGEST_FIELD = 300
"""Most characters of a short field in a table."""
FIRST_GROUP = "A"
"""Ranks of this group have no letter."""
OK, FAST_BUT_WRONG = "ok", "fast but wrong"
"""The status without failures, and the text that replaces it for an inaccurate cell."""

_Key = TypeVar("_Key", bound=Hashable)


# Names.


def without_version(backend: str) -> str:
    """A backend's name without its requested version.

    ``faster-whisper@1.2.1:int8`` and ``faster-whisper:int8`` are both ``faster-whisper:int8``.
    """
    name, colon, precision = backend.partition(":")
    return name.partition("@")[0] + colon + precision


def backend_name(requested: str, version: str | None, precision: str | None) -> str:
    """A backend as requested, then its effective version and precision unless already stated.

    ``faster-whisper`` becomes ``faster-whisper 1.2.1 int8``, ``faster-whisper@1.2.1`` becomes
    ``faster-whisper@1.2.1 int8``. ``faster-whisper:int8`` becomes ``faster-whisper:int8 1.2.1``, or
    ``faster-whisper:int8 1.2.1 float32`` if float32 was effective instead.
    """
    name, _, requested_precision = requested.partition(":")
    requested_version = name.partition("@")[2]
    found = [
        clipped(effective, LONGEST_PART)
        for effective, stated in ((version, requested_version), (precision, requested_precision))
        if effective and effective != stated
    ]
    return " ".join([clipped(requested, 2 * LONGEST_PART), *found])


def name_of(cell: CellResult) -> str:
    """The cell's backend with version and precision; see :func:`names_of` for unique names."""
    return backend_name(cell.backend.name, cell.backend.version, cell.backend.precision)


def names_of(cells: Sequence[CellResult]) -> dict[str, str]:
    """Cell id → a name that is unique among these cells of one table."""
    return distinct({cell.id: (name_of(cell), f"{name_of(cell)} ({cell.id})") for cell in cells})


def names_of_run(cells: Sequence[CellResult]) -> dict[str, str]:
    """:func:`names_of` for every table of a run."""
    return {key: name for table in by_table(cells) for key, name in names_of(table).items()}


def labels_of(cells: Sequence[CellResult]) -> dict[str, str]:
    """Cell id → a name that is unique in the run; ``cells`` are all of its cells."""
    models = len({cell.model.name for cell in cells}) > 1
    clips = len({cell.clip.name for cell in cells}) > 1
    variants = {}
    for cell in cells:
        parts = [name_of(cell)]
        parts += [clipped(cell.model.name, LONGEST_FIELD)] if models else []
        parts += [f"on {clipped(cell.clip.name, LONGEST_FIELD)}"] if clips else []
        label = ", ".join(parts)
        # `speedtest noise` measures a backend against itself: only the ids differ.
        variants[cell.id] = (label, f"{label} ({cell.id})")
    return distinct(variants)


def used_gpus(cell: CellResult) -> list[str]:
    """The NVIDIA GPUs of the cell's workers, each once; usually one or none."""
    return list(dict.fromkeys(gpu_words(load.gpu) for load in cell.loads if load.gpu is not None))


def distinct(variants: Mapping[_Key, Sequence[str]]) -> dict[_Key, str]:
    """Key → the first of its variants that no other key has, else the last.

    Args:
        variants: key → texts, the shortest first; equally many for every key.
    """
    found = {key: texts[0] for key, texts in variants.items()}
    for level in range(1, max(map(len, variants.values()), default=1)):
        counts = Counter(found.values())
        found = {
            key: variants[key][level] if counts[text] > 1 else text for key, text in found.items()
        }
    return found


# Tables: which cells are shown together, and in which order.


def summary_of(cell: CellResult) -> Summary:
    """A cell's figures. Raises ValueError if they were not computed."""
    if cell.summary is None:
        raise ValueError(f"the run was not summarized: {cell.id} has no figures")
    return cell.summary


@dataclass(frozen=True, slots=True)
class CellTable:
    """The cells of one model on one clip.

    Attributes:
        name: unique in its run: ``t0``, ``t1``, ...
        cells: sorted by group, then time; cells without figures come last.
        names: cell id → a name that is unique here.
    """

    name: str
    model: str
    clip: ClipInfo
    cells: Sequence[CellResult]
    names: Mapping[str, str]

    @property
    def title(self) -> str:
        """The model and the speech."""
        return f"{clipped(self.model, LONGEST_FIELD)} on {clipped(self.clip.name, LONGEST_FIELD)}"

    def groups(self) -> list[list[CellResult]]:
        """Cells of equal work together, the best group first; the last has the unranked cells."""
        found: dict[str | None, list[CellResult]] = {}
        for cell in self.cells:
            found.setdefault(summary_of(cell).group, []).append(cell)
        return list(found.values())


def tables_of(cells: Sequence[CellResult]) -> list[CellTable]:
    """A table per model and clip, in order of the cells; tables without figures come last."""
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


def shown_tables(run: Run) -> list[CellTable]:
    """The tables that are shown of a run.

    A model that was not requested and cannot be measured here needs none, unless there is no other.
    """
    found = tables_of(run.cells)
    shown = [
        table
        for table in found
        if run.manifest.request.backends_named
        or any(cell.status != "unavailable" for cell in table.cells)
    ]
    return shown or found


def by_table(cells: Sequence[CellResult]) -> list[list[CellResult]]:
    """The cells of each model and clip, in their order."""
    found: dict[tuple[str, str], list[CellResult]] = {}
    for cell in cells:
        found.setdefault((cell.model.name, cell.clip.name), []).append(cell)
    return list(found.values())


def _order(cell: CellResult) -> tuple[bool, str, float, str]:
    summary = summary_of(cell)
    return (summary.group is None, summary.group or "", summary.median_s or 0.0, cell.id)


# Columns.


def rank_text(rank: int | None, rank_last: int | None, group: str | None) -> str:
    """The possible ranks: ``1``, ``2–3`` for a tie, ``B1`` in the second group."""
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
    """``fast but wrong``, or how the cell ended."""
    return FAST_BUT_WRONG if summary_of(cell).fast_but_wrong else cell.status


def findings_of(cell: CellResult) -> str:
    """The kinds of its findings; empty if there are none."""
    return ", ".join(finding.kind for finding in summary_of(cell).findings)


def contract_of(cell: CellResult) -> str:
    """Whether it met the contract, else the settings that deviate."""
    if not cell.contract.effective:
        return MISSING
    other = dict.fromkeys(each.setting.replace("_", " ") for each in cell.contract.deviations)
    return f"not met: {', '.join(other)}" if other else "met"


def setting_text(value: object, nothing: str = MISSING) -> str:
    """A setting of a contract as text; a list of temperatures by its ends."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == OWN_LANGUAGE:
        return "each recording's own"
    if isinstance(value, list):
        ends = [f"{each:g}" for each in value]
        return MISSING if not ends else ends[0] if len(ends) == 1 else f"{ends[0]}…{ends[-1]}"
    return str(value)


def percent(rate: float | None, digits: int = 1) -> str:
    """A rate as text."""
    return MISSING if rate is None else f"{rate:.{digits}%}"


def error_rate_text(
    rate: float | None,
    metric: str | None,
    low: float | None = None,
    high: float | None = None,
    *,
    digits: int = 1,
) -> str:
    """An error rate with its interval, if known; with the unit if characters were counted."""
    shown = interval_text(rate, low, high, f".{digits}%")
    return shown + (" CER" if rate is not None and metric == "cer" else "")


def error_rate_of(cell: CellResult) -> str:
    """The error rate of a cell's whole speech."""
    found = summary_of(cell).accuracy
    if found is None:
        return MISSING
    return error_rate_text(found.rate, found.metric, found.rate_low, found.rate_high)


def errors_above(found: AccuracyResult, reference: str) -> str:
    """How far an error rate is above that of the reference backend's cell; empty if unknown."""
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        return ""
    return (
        f"{found.metric.upper()} is {found.delta * 100:.1f} points "
        f"({found.delta_low * 100:.1f} to {found.delta_high * 100:.1f}) above that of {reference}"
    )


def speed_form(value: float | None) -> str:
    """The format of a speed or a ratio and of its interval: three digits of the value."""
    if value is None or value < 10:
        return ".2f"
    return ".1f" if value < 100 else ".0f"


def number_text(value: float | None, form: str, factor: float = 1.0) -> str:
    """A number times ``factor``, which converts it to the unit shown."""
    return MISSING if value is None else format(value * factor if factor != 1 else value, form)


def range_text(low: float | None, high: float | None, form: str) -> str:
    """``1.2–1.4``."""
    return MISSING if low is None or high is None else f"{low:{form}}–{high:{form}}"


def interval_text(value: float | None, low: float | None, high: float | None, form: str) -> str:
    """A number, with its interval in parentheses if it has one."""
    if value is None or low is None or high is None:
        return number_text(value, form)
    return f"{value:{form}} ({range_text(low, high, form)})"


def with_bounds(value: float | None, bounds: Bounds | None, form: str) -> str:
    """:func:`interval_text` of a figure of the summary."""
    if bounds is None:
        return number_text(value, form)
    return interval_text(value, bounds.low, bounds.high, form)


def counted(number: int, one: str, several: str = "") -> str:
    """``1 round``, ``2 rounds``; ``several`` is the plural if it is not ``one`` with an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def measured_amount(run: Run, *, whole_set: bool) -> str:
    """How much was measured of each cell: ``6 rounds × 2 samples``.

    Args:
        run: any run.
        whole_set: whether its speech is many recordings, of which a pass has one sample each.
    """
    request = run.manifest.request
    asked = {cell.summary.rounds_asked for cell in run.cells if cell.summary and cell.samples}
    low, high = min(asked, default=first_rounds(request)), max(asked, default=0)
    rounds = counted(low, "round") if high <= low else f"{low} to {high} rounds"
    each = ("pass", "passes") if whole_set else ("sample", "samples")
    return f"{rounds} × {counted(request.passes, *each)}"


def calls_of_process(run: Run) -> int:
    """The most transcriptions of one process: its warm-up, and every pass over the speech."""
    counts = Counter(
        (cell.id, each.round, each.attempt) for cell in run.cells for each in cell.samples
    )
    return max(counts.values(), default=0)


def break_even_lines(cells: Sequence[CellResult], names: Mapping[str, str]) -> Iterator[str]:
    """One line per pair: which cell is faster for short audio, and from which length it is not.

    Args:
        cells: of one model, measured on several lengths.
        names: cell id → name.
    """
    for cell in cells:
        fit = summary_of(cell).duration
        for other, point in fit.break_even_s.items() if fit else ():
            if point.wins_below and other in names:
                high = "no end" if point.high is None else f"{point.high:.0f} s"
                yield (
                    f"{names[cell.id]} is faster below {point.seconds:.0f} s of audio "
                    f"({point.low:.0f} s to {high}), {names[other]} above."
                )
